// A 32-bit `meta priority` value in nft's own text. Innermesh keeps endpoint-set ids there.

/** `major:minor` in hex, as nft prints a priority. */
export function formatPriority(value: number): string {
  return `${(value >>> 16).toString(16)}:${(value & 0xffff).toString(16)}`;
}

const COLON = 58;
const DIGIT_0 = 48;
const LETTER_A = 97;

/** Reads `major:minor`; the inverse of `formatPriority`. Called for each element, so no strings. */
export function parsePriority(text: string): number {
  let major = 0;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === COLON) {
      major = value;
      value = 0;
    } else {
      value = value * 16 + (code < LETTER_A ? code - DIGIT_0 : code - LETTER_A + 10);
    }
  }
  return ((major << 16) | value) >>> 0;
}
