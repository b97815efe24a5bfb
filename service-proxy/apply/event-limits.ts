// Two brakes for Kubernetes Events: how many, and how often the same. Pure state over monotonic
// time.

/** Lets `burst` through at once, then one every `perMs`. */
export class TokenBucket {
  readonly #burst: number;
  readonly #perMs: number;
  #tokens: number;
  #atMs: number;

  constructor(rate: { readonly burst: number; readonly perMs: number }, nowMs: number) {
    this.#burst = rate.burst;
    this.#perMs = rate.perMs;
    this.#tokens = rate.burst;
    this.#atMs = nowMs;
  }

  /** False when the rate is exceeded. */
  take(nowMs: number): boolean {
    const earned = (nowMs - this.#atMs) / this.#perMs;
    this.#tokens = Math.min(this.#burst, this.#tokens + earned);
    this.#atMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

/** Admits a key once in `windowMs`; remembers at most `limit` keys, the newest. */
export class DedupeWindow {
  readonly #windowMs: number;
  readonly #limit: number;
  /** Key to when it was admitted, oldest first. */
  readonly #admitted = new Map<string, number>();

  constructor({ windowMs, limit }: { readonly windowMs: number; readonly limit: number }) {
    this.#windowMs = windowMs;
    this.#limit = limit;
  }

  /** False when the key was admitted less than `windowMs` ago. */
  admit(key: string, nowMs: number): boolean {
    const atMs = this.#admitted.get(key);
    if (atMs !== undefined && nowMs - atMs < this.#windowMs) return false;
    this.#admitted.delete(key);
    this.#admitted.set(key, nowMs);
    const [oldest] = this.#admitted.keys();
    if (this.#admitted.size > this.#limit && oldest !== undefined) this.#admitted.delete(oldest);
    return true;
  }
}
