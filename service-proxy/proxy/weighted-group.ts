// The share of each backend, by weight (Gateway API's backendRefs).

import type { GroupKey, WeightedGroup } from "../model/proxy-plan.ts";

/**
 * Draws one group. Undefined for the share of a reference that leads nowhere, and when no weight is
 * above zero: that share must be refused, not given to others.
 * @param draw in [0, 1)
 */
export function weightedGroup(
  backends: readonly WeightedGroup[],
  draw: number,
): GroupKey | undefined {
  let sum = 0;
  for (const { weight } of backends) sum += weight;
  let left = draw * sum;
  for (const { group, weight } of backends) {
    if (left < weight) return group;
    left -= weight;
  }
  return undefined;
}

/** The fraction of the golden ratio: multiples of no other number fall as evenly into [0, 1). */
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** Draws that follow weights exactly: after any number of them, each share is off by two or so. */
export class EvenDraws {
  #last = 0;

  /** In [0, 1). */
  next(): number {
    this.#last = (this.#last + GOLDEN) % 1;
    return this.#last;
  }
}
