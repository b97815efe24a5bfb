// Token buckets by key: how much one node, or one address, may ask for in a while.

export interface KeyedBucketsOptions {
  /** What a full bucket holds. */
  readonly burst: number;
  readonly perSecond: number;
  /** Monotonic. */
  readonly nowMs: () => number;
}

interface Bucket {
  level: number;
  atMs: number;
}

/** The one used longest ago is forgotten, that is: full again. */
export const MAX_BUCKETS = 16_384;

export class KeyedBuckets {
  readonly #options: KeyedBucketsOptions;
  /** The one used last comes last. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: KeyedBucketsOptions) {
    this.#options = options;
  }

  /** Whether `take` would say no. */
  isEmpty(key: string): boolean {
    return this.#levelOf(key) < 1;
  }

  /** Takes one. @returns false, and takes nothing, when there is less than one */
  take(key: string): boolean {
    const level = this.#levelOf(key);
    if (level < 1) return false;
    this.#fill(key, level - 1);
    return true;
  }

  /** Gives back what was taken for nothing. */
  give(key: string): void {
    this.#fill(key, this.#levelOf(key) + 1);
  }

  #levelOf(key: string): number {
    const { burst, perSecond, nowMs } = this.#options;
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) return burst;
    const gained = ((nowMs() - bucket.atMs) / 1_000) * perSecond;
    return Math.min(burst, bucket.level + gained);
  }

  #fill(key: string, level: number): void {
    this.#buckets.delete(key);
    // A full one is as good as none, and takes nobody's place.
    if (level >= this.#options.burst) return;
    this.#buckets.set(key, { level, atMs: this.#options.nowMs() });
    if (this.#buckets.size > MAX_BUCKETS) this.#forgetOldest();
  }

  #forgetOldest(): void {
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key);
      return;
    }
  }
}
