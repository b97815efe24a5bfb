// One identity's key: when it is to be renewed, tried again, given up. Validity is wall time, which
// others read too; pauses are monotonic, so that a clock that jumps makes no storm (fault F10).

import type { Clock } from "../../lib/clock/clock.ts";
import { retryDelayMs } from "../../lib/clock/retry-delay.ts";
import type { SpiffeUri } from "../model/tunnel-plan.ts";
import type { CheckedCredential } from "./credential-check.ts";

/** Between one certificate and the next, whatever clocks say. */
export const LEAST_BETWEEN_MS = 10_000;
/** Short at first: the CA may be a moment behind in learning of a pod that has just come. */
export const RETRY_MIN_MS = 100;
export const RETRY_MAX_MS = 150_000;
/** Of half the life of a certificate, to either side: nodes must not come in step (fault F43). */
const RENEWAL_JITTER = 0.1;
/** After the last pod: connections end as theirs do, and a pod that comes back finds its key. */
export const LINGER_MS = 60_000;

/** For `innermesh identity`. Times are wall time, milliseconds since 1970. */
export interface KeyState {
  readonly identity: SpiffeUri;
  /**
   * No certificate and no answer yet; a good one; one that is being replaced, `lastError` telling
   * why that takes long; none, for the reason that `lastError` tells.
   */
  readonly state: "waiting" | "valid" | "renewing" | "failed";
  readonly certificate?: {
    readonly serial: string;
    readonly issuer: string;
    readonly issuedMs: number;
    readonly notAfterMs: number;
    readonly nextRenewalMs: number;
  };
  readonly lastError?: string;
}

interface Kept {
  readonly checked: CheckedCredential;
  /** Whichever clock gets there first: one that was set back must not outlive the certificate. */
  renewWallMs: number;
  renewMonotonicMs: number;
}

export class KeyEntry {
  readonly identity: SpiffeUri;
  isAsking = false;
  readonly #clock: Clock;
  readonly #random: () => number;
  #kept: Kept | undefined;
  #failures = 0;
  #lastError: string | undefined;
  #notBeforeMs = -Infinity;
  #unneededSinceMs: number | undefined;

  /** @param random in [0, 1) */
  constructor(identity: SpiffeUri, clock: Clock, random: () => number) {
    this.identity = identity;
    this.#clock = clock;
    this.#random = random;
  }

  get checked(): CheckedCredential | undefined {
    return this.#kept?.checked;
  }

  /** Who has none comes first, then who has theirs for the shortest time. */
  get urgency(): number {
    return this.#kept?.checked.notAfterMs ?? -Infinity;
  }

  setNeeded(isNeeded: boolean): void {
    if (isNeeded) this.#unneededSinceMs = undefined;
    else this.#unneededSinceMs ??= this.#clock.monotonicMs();
  }

  /** No pod has had it for so long, or ever, that nothing is left to wait for. */
  get isGone(): boolean {
    if (this.#unneededSinceMs === undefined) return false;
    if (this.#kept === undefined) return true;
    return this.#clock.monotonicMs() - this.#unneededSinceMs >= LINGER_MS;
  }

  /** Until a certificate should be asked for; zero or less when that is now. */
  get waitMs(): number {
    if (this.isAsking || this.#unneededSinceMs !== undefined) return Infinity;
    return this.#dueInMs;
  }

  /** Until it is over, or nobody waits for its pods to come back any more. */
  get endsInMs(): number {
    const clock = this.#clock;
    const sinceMs = this.#unneededSinceMs ?? Infinity;
    const lingersMs = sinceMs + LINGER_MS - clock.monotonicMs();
    if (this.#kept === undefined) return lingersMs;
    // Its last millisecond is valid still.
    const livesMs = this.#kept.checked.notAfterMs + 1 - clock.wallMs();
    return Math.min(livesMs, lingersMs);
  }

  accept(checked: CheckedCredential): void {
    const { issuedMs, notAfterMs } = checked;
    const share = 0.5 * (1 + RENEWAL_JITTER * (2 * this.#random() - 1));
    const nowMs = this.#clock.monotonicMs();
    const wallMs = this.#clock.wallMs();
    this.#kept = {
      checked,
      // Of what is left, not of the whole: by a clock that is ahead every new one is past its half.
      renewWallMs: wallMs + share * (notAfterMs - wallMs),
      renewMonotonicMs: nowMs + share * (notAfterMs - issuedMs),
    };
    this.#failures = 0;
    this.#lastError = undefined;
    this.#notBeforeMs = nowMs + LEAST_BETWEEN_MS;
  }

  fail(why: string): void {
    const bounds = { minMs: 2 * RETRY_MIN_MS, maxMs: RETRY_MAX_MS - RETRY_MIN_MS };
    const delayMs = RETRY_MIN_MS + retryDelayMs(bounds, this.#failures++, this.#random());
    this.#notBeforeMs = this.#clock.monotonicMs() + delayMs;
    this.#lastError = why;
  }

  /** Gives up a certificate that is over. @returns whether there was one */
  expire(): boolean {
    if (this.#kept === undefined) return false;
    if (this.#clock.wallMs() <= this.#kept.checked.notAfterMs) return false;
    this.#kept = undefined;
    return true;
  }

  /** @param withinMs some time in it, by chance */
  renewSoon(withinMs: number): void {
    if (this.#kept === undefined) return;
    const atMs = this.#clock.monotonicMs() + this.#random() * withinMs;
    this.#kept.renewMonotonicMs = Math.min(this.#kept.renewMonotonicMs, atMs);
  }

  get state(): KeyState {
    const { identity } = this;
    const error = this.#lastError === undefined ? {} : { lastError: this.#lastError };
    if (this.#kept === undefined) {
      const state = this.#lastError === undefined ? "waiting" : "failed";
      return { identity, state, ...error };
    }
    const { serial, issuer, issuedMs, notAfterMs } = this.#kept.checked;
    const nextRenewalMs = Math.round(this.#clock.wallMs() + Math.max(0, this.#dueInMs));
    const isRenewing = this.isAsking || this.#lastError !== undefined;
    return {
      identity,
      state: isRenewing ? "renewing" : "valid",
      certificate: { serial, issuer, issuedMs, notAfterMs, nextRenewalMs },
      ...error,
    };
  }

  get #dueInMs(): number {
    const nowMs = this.#clock.monotonicMs();
    const pauseMs = this.#notBeforeMs - nowMs;
    if (this.#kept === undefined) return pauseMs;
    const { renewWallMs, renewMonotonicMs } = this.#kept;
    const dueMs = Math.min(renewWallMs - this.#clock.wallMs(), renewMonotonicMs - nowMs);
    return Math.max(pauseMs, dueMs);
  }
}
