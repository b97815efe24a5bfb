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
