// A 32-bit `meta priority` value in nft's own text. Innermesh keeps endpoint-set ids there.

/** `major:minor` in hex, as nft prints a priority. */
export function formatPriority(value: number): string {
  return `${(value >>> 16).toString(16)}:${(value & 0xffff).toString(16)}`;
}

/** Reads `major:minor`; the inverse of `formatPriority`. */
export function parsePriority(text: string): number {
  const [major = "0", minor = "0"] = text.split(":");
  return ((Number.parseInt(major, 16) << 16) | Number.parseInt(minor, 16)) >>> 0;
}
