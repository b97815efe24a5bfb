// Reviews tokens, and remembers for a moment whom one belongs to: a node that starts asks for all
// its identities at once. Only a hash of a token is kept.

import { createHash } from "node:crypto";
import type { Clock } from "../../lib/clock/clock.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { reviewToken, type TokenReview } from "../../lib/kube/token-review.ts";

/**
 * How long a good answer counts. A stolen token of a deleted pod must be worthless within 10 s
 * (threat T11); the pod itself is looked up each time on top.
 */
export const REVIEW_LIFE_MS = 5_000;
const MAX_REMEMBERED = 4_096;
/** Also of a call that gave up: others may wait for the same answer. */
const REVIEW_LIMIT_MS = 10_000;

interface Remembered {
  readonly review: Promise<TokenReview>;
  readonly untilMs: number;
}

export interface CallerReviewOptions {
  readonly client: Pick<KubeClient, "create">;
  readonly audiences: readonly string[];
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export class CallerReview {
  readonly #options: CallerReviewOptions;
  /** By hash; oldest first. */
  readonly #remembered = new Map<string, Remembered>();

  constructor(options: CallerReviewOptions) {
    this.#options = options;
  }

  /** Whether a review would cost the API server nothing: it was asked already. */
  knows(token: string): boolean {
    return this.#reviewOf(tokenHash(token)) !== undefined;
  }

  /** Whose token it is. @throws KubeApiError when the API server does not answer */
  async review(token: string): Promise<TokenReview> {
    const { clock } = this.#options;
    const key = tokenHash(token);
    const known = this.#reviewOf(key);
    if (known !== undefined) return known;
    const review = this.#ask(token);
    const entry = { review, untilMs: clock.monotonicMs() + REVIEW_LIFE_MS };
    this.#remembered.delete(key);
    this.#remembered.set(key, entry);
    this.#forget(clock.monotonicMs());
    const forgetFailed = (answer?: TokenReview): void => {
      const failed = answer?.kind !== "known";
      if (failed && this.#remembered.get(key) === entry) this.#remembered.delete(key);
    };
    review.then(forgetFailed, () => forgetFailed());
    return review;
  }

  #reviewOf(key: string): Promise<TokenReview> | undefined {
    const known = this.#remembered.get(key);
    if (known === undefined || this.#options.clock.monotonicMs() >= known.untilMs) return undefined;
    return known.review;
  }

  #ask(token: string): Promise<TokenReview> {
    const { client, audiences, clock, signal } = this.#options;
    const finished = new AbortController();
    const expired = new AbortController();
    void clock.sleep(REVIEW_LIMIT_MS, finished.signal).then(() => {
      if (!finished.signal.aborted) expired.abort();
    });
    const limited = AbortSignal.any([signal, expired.signal]);
    return reviewToken(client, { token, audiences }, limited).finally(() => finished.abort());
  }

  /** What is over, and more than the limit. Oldest first: all live equally long. */
  #forget(nowMs: number): void {
    for (const [key, { untilMs }] of this.#remembered) {
      if (untilMs > nowMs && this.#remembered.size <= MAX_REMEMBERED) return;
      this.#remembered.delete(key);
    }
  }
}

/** What is kept of a token. */
export function tokenHash(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}
