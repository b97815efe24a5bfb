// Counts over time what a peer makes us do for nothing, a bucket of tokens for each kind.

import type { FloodKind, FloodLimit } from "./h2-limits.ts";

/** Full at first. Tokens that come back by themselves are counted when it is empty. */
export class TokenBucket {
  readonly #limit: FloodLimit;
  #tokens: number;
  /** Since the first look: clocks do not start with the connection. */
  #filledMs: number | undefined;

  constructor(limit: FloodLimit) {
    this.#limit = limit;
    this.#tokens = limit.burst;
  }

  has(nowMs: number): boolean {
    this.#filledMs ??= nowMs;
    if (this.#tokens >= 1) return true;
    const refill = (Math.max(0, nowMs - this.#filledMs) * this.#limit.perSecond) / 1000;
    this.#filledMs = nowMs;
    this.give(refill);
    return this.#tokens >= 1;
  }

  /** @returns whether there was one to take */
  take(nowMs: number): boolean {
    if (!this.has(nowMs)) return false;
    this.#tokens--;
    return true;
  }

  /** Never beyond the burst. */
  give(tokens: number): void {
    this.#tokens = Math.min(this.#limit.burst, this.#tokens + tokens);
  }
}

/** One bucket of each kind. */
export type H2FloodGuard = Readonly<Record<FloodKind, TokenBucket>>;

export function makeFloodGuard(floods: Readonly<Record<FloodKind, FloodLimit>>): H2FloodGuard {
  return {
    "peer-resets": new TokenBucket(floods["peer-resets"]),
    "own-resets": new TokenBucket(floods["own-resets"]),
    "refused-streams": new TokenBucket(floods["refused-streams"]),
    settings: new TokenBucket(floods.settings),
    pings: new TokenBucket(floods.pings),
    "window-updates": new TokenBucket(floods["window-updates"]),
    "empty-data": new TokenBucket(floods["empty-data"]),
    "idle-frames": new TokenBucket(floods["idle-frames"]),
    "interim-responses": new TokenBucket(floods["interim-responses"]),
  };
}
