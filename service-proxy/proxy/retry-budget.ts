// How many retries a group may make: a share of its recent requests, so that a failing backend is
// not buried under retries (F54). Times are of a monotonic clock.

const SHARE = 0.2;
/** Lets a quiet group retry at all. */
const LEAST_PER_SECOND = 3;
/** The window slides in steps of a second. */
const WINDOW_SECONDS = 10;

/** Counts one group's requests and retries over the last ten seconds. */
export class RetryBudget {
  readonly #requests = new Uint32Array(WINDOW_SECONDS);
  readonly #retries = new Uint32Array(WINDOW_SECONDS);
  #requestSum = 0;
  #retrySum = 0;
  #second = 0;

  /** A first attempt; retries are not requests. */
  request(nowMs: number): void {
    const at = this.#advance(nowMs);
    this.#requests[at] = (this.#requests[at] ?? 0) + 1;
    this.#requestSum++;
  }

  /** @returns true when one more retry may be made, and counts it */
  tryRetry(nowMs: number): boolean {
    const at = this.#advance(nowMs);
    const most = Math.max(SHARE * this.#requestSum, LEAST_PER_SECOND * WINDOW_SECONDS);
    if (this.#retrySum + 1 > most) return false;
    this.#retries[at] = (this.#retries[at] ?? 0) + 1;
    this.#retrySum++;
    return true;
  }

  /** Forgets the seconds that have left the window. @returns the place of this second */
  #advance(nowMs: number): number {
    const second = Math.max(this.#second, Math.floor(nowMs / 1_000));
    const gone = Math.min(WINDOW_SECONDS, second - this.#second);
    for (let i = 1; i <= gone; i++) {
      const at = (this.#second + i) % WINDOW_SECONDS;
      this.#requestSum -= this.#requests[at] ?? 0;
      this.#retrySum -= this.#retries[at] ?? 0;
      this.#requests[at] = 0;
      this.#retries[at] = 0;
    }
    this.#second = second;
    return second % WINDOW_SECONDS;
  }
}
