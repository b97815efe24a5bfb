// What is said about many measurements with one number.

import assert from "node:assert/strict";

/** The middle one; of an even count the lower of the two in the middle. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/**
 * The value that a share of all do not exceed.
 * @param share in (0, 1]; 0.99 of fewer than a hundred values is the greatest
 */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
  assert(value !== undefined, "no values, no percentile");
  return value;
}
