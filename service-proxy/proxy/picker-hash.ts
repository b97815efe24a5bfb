// A fast hash of short texts for consistent choice. Not for secrets: an attacker can find
// collisions, and wins no more than an endpoint of his choice.

/** 32 bits, unsigned, well mixed (FNV-1a, then the finisher of MurmurHash3). */
export function hashText(text: string, seed = 0): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mixBits(hash);
}

/** Another hash of a hash. */
export function mixBits(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
