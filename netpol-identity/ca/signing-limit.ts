// Token buckets by key: how much one node, or one address, may ask for in a while.

import type { Clock } from "../../lib/clock/clock.ts";

export interface BucketOptions {
  /** What a full bucket holds. */
  readonly burst: number;
  readonly perSecond: number;
  readonly clock: Clock;
}

interface Bucket {
  level: number;
  atMs: number;
}

/** The one used longest ago is forgotten, that is: full again. */
export const MAX_BUCKETS = 16_384;

export class SigningLimit {
  readonly #options: BucketOptions;
  /** The one used last comes last. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: BucketOptions) {
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
    this.#buckets.delete(key);
    this.#buckets.set(key, { level: level - 1, atMs: this.#options.clock.monotonicMs() });
    if (this.#buckets.size > MAX_BUCKETS) this.#forgetOldest();
    return true;
  }

  #levelOf(key: string): number {
    const { burst, perSecond, clock } = this.#options;
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) return burst;
    const gained = ((clock.monotonicMs() - bucket.atMs) / 1_000) * perSecond;
    return Math.min(burst, bucket.level + gained);
  }

  #forgetOldest(): void {
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key);
      return;
    }
  }
}
