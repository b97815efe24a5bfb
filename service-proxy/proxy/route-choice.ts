// Choices that a rule leaves to chance, with the chance as an argument.

import type { RouteBackend } from "../model/route-table.ts";

/**
 * One backend by weight; undefined when no backend has any, which is answered 500. So is a chosen
 * backend without a group.
 * @param random in [0, 1)
 */
export function chooseBackend<T extends Pick<RouteBackend, "weight">>(
  backends: readonly T[],
  random: number,
): T | undefined {
  let sum = 0;
  for (const { weight } of backends) sum += weight;
  let left = random * sum;
  let last: T | undefined;
  for (const backend of backends) {
    if (backend.weight <= 0) continue;
    last = backend;
    left -= backend.weight;
    if (left < 0) return backend;
  }
  // Rounding may leave a hair of the sum over.
  return last;
}

/** The fraction of the golden ratio: its multiples fill [0, 1) more evenly than any other's. */
const GOLDEN = 0.618_033_988_749_894_9;

/**
 * A source of numbers in [0, 1) that are spread evenly, not by chance: any 500 of them meet every
 * weight within one point, where chance misses by five now and then. One source for one choice,
 * such as one rule's backends: two choices from one source would depend on each other.
 * @param start in [0, 1); differs between workers, or all would begin with the same backend
 */
export function makeEvenChance(start: number): () => number {
  let last = start;
  return () => {
    last = (last + GOLDEN) % 1;
    return last;
  };
}

/** @param random in [0, 1) */
export function isMirrored(share: number, random: number): boolean {
  return random < share;
}
