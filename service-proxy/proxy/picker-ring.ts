// A hash ring: every endpoint has points on a circle of 2³² places, and owns the arcs that end in
// them. An endpoint that goes gives its arcs to the next ones; no other key moves.

import { hashText, mixBits } from "./picker-hash.ts";
import type { HashOwner } from "./picker-maglev.ts";

/** Shares are even within some 10 %. */
const POINTS_PER_MEMBER = 160;
/** With more members each has fewer points, the same ones as before. */
const MOST_POINTS = 65_536;
/** Of a point's number, the part that says whose it is. */
const INDEX_RANGE = 65_536;

/** @param members each with a key of its own; their order does not matter */
export function makeHashRing<T extends { readonly key: string }>(
  members: readonly T[],
): HashOwner<T> {
  const sorted = [...members].sort((a, b) => (a.key < b.key ? -1 : 1)).slice(0, INDEX_RANGE);
  const points = placePoints(sorted.map(({ key }) => key));
  return (hash, accept) => {
    const first = firstAtOrAfter(points, (hash >>> 0) * INDEX_RANGE);
    for (let i = 0; i < points.length; i++) {
      const point = points[(first + i) % points.length] ?? 0;
      const member = sorted[point % INDEX_RANGE];
      if (member !== undefined && accept(member)) return member;
    }
    return undefined;
  };
}

/** Ascending; place × INDEX_RANGE + index of the member: 48 bits, exact in a double. */
function placePoints(keys: readonly string[]): Float64Array {
  const each = Math.min(POINTS_PER_MEMBER, Math.floor(MOST_POINTS / Math.max(1, keys.length)));
  const points = new Float64Array(keys.length * each);
  keys.forEach((key, index) => {
    let place = hashText(key);
    for (let i = 0; i < each; i++) {
      points[index * each + i] = place * INDEX_RANGE + index;
      place = mixBits(place + 0x9e3779b9);
    }
  });
  return points.sort();
}

function firstAtOrAfter(points: Float64Array, value: number): number {
  let [low, high] = [0, points.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((points[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
