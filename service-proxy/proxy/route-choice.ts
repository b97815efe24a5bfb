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

/** @param random in [0, 1) */
export function isMirrored(share: number, random: number): boolean {
  return random < share;
}
