// The one set of latency buckets: four to a doubling, so that a quantile read from them is within
// 10 % of the truth, and every power of two milliseconds is a bound. Counts of workers just add up.

const PER_DOUBLING = 4;
/** 62.5 µs is the first bound … */
const LOWEST_EXPONENT = -4;
/** … and 131 s the last. */
const HIGHEST_EXPONENT = 17;

/** The last bucket holds all that is above the last bound. */
export const BUCKET_COUNT = (HIGHEST_EXPONENT - LOWEST_EXPONENT) * PER_DOUBLING + 2;

/** The bucket of a latency: the first whose bound is not below it. NaN counts as 0. */
export function bucketOf(latencyMs: number): number {
  if (!(latencyMs > 2 ** LOWEST_EXPONENT)) return 0;
  const bucket = Math.ceil((Math.log2(latencyMs) - LOWEST_EXPONENT) * PER_DOUBLING);
  return Math.min(bucket, BUCKET_COUNT - 1);
}

/** Upper bound of a bucket in milliseconds, itself included; infinite for the last. */
export function bucketBoundMs(bucket: number): number {
  if (bucket >= BUCKET_COUNT - 1) return Number.POSITIVE_INFINITY;
  return 2 ** (bucket / PER_DOUBLING + LOWEST_EXPONENT);
}

/**
 * The latency that a share of the requests stayed below, in milliseconds; undefined without any.
 * @param share 0.99 for p99
 */
export function quantileMs(counts: ArrayLike<number>, share: number): number | undefined {
  let total = 0;
  for (let i = 0; i < counts.length; i++) total += counts[i] ?? 0;
  if (total === 0) return undefined;
  let left = share * total;
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i] ?? 0;
    if (count > 0 && left <= count) return middleMs(i, left / count);
    left -= count;
  }
  return bucketBoundMs(BUCKET_COUNT - 2);
}

function middleMs(bucket: number, share: number): number {
  const low = bucket === 0 ? 0 : bucketBoundMs(bucket - 1);
  const high = bucketBoundMs(bucket);
  return Number.isFinite(high) ? low + (high - low) * share : low;
}
