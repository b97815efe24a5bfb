// When an endpoint is left out for failing: after a run of failures, longer each time, and never so
// many that the rest would drown. Times are of a monotonic clock, in milliseconds.

/** Failures in a row; a success ends the run. */
const FAILURES_TO_EJECT = 5;
const BASE_EJECTION_MS = 10_000;
const LONGEST_EJECTION_MS = 300_000;
/** After so long in service, earlier ejections are forgotten. */
const FORGIVEN_AFTER_MS = 300_000;
/** Of a group's endpoints; one of two, none of one. */
const MOST_EJECTED_SHARE = 0.5;
/** When more than this share is ejected, ejection is ignored: failing is better than drowning. */
const PANIC_SHARE = 0.5;

/** What one endpoint's record of failures says. */
export class OutlierRecord {
  #failures = 0;
  #times = 0;
  #untilMs = 0;

  /** When it returns; 0 while it is in service. */
  get ejectedUntilMs(): number {
    return this.#untilMs;
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** @returns true when it ought to be ejected; false also while it is, whatever comes back late */
  failed(): boolean {
    if (this.#untilMs > 0) return false;
    this.#failures++;
    return this.#failures >= FAILURES_TO_EJECT;
  }

  /** @param returnedMs when it last came into service */
  eject(nowMs: number, returnedMs: number): void {
    this.#times = nowMs - returnedMs > FORGIVEN_AFTER_MS ? 1 : this.#times + 1;
    this.#untilMs = nowMs + Math.min(LONGEST_EJECTION_MS, BASE_EJECTION_MS * this.#times);
    this.#failures = 0;
  }

  restore(): void {
    this.#untilMs = 0;
  }
}

/** Whether one more of `size` endpoints may be ejected. */
export function mayEject(ejected: number, size: number): boolean {
  return ejected + 1 <= size * MOST_EJECTED_SHARE;
}

/** True when so many are ejected that all are used. */
export function isPanic(ejected: number, size: number): boolean {
  return ejected > size * PANIC_SHARE;
}
