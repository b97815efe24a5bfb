// Short names of things by what they say: equal for equal content, on every node.

import { hash } from "node:crypto";

/** So many that nobody finds content for the name of another's: 64 bits. */
const HEX_DIGITS = 16;

/** @param content in one canonical spelling */
export function contentName(content: string): string {
  return hash("sha256", content, "hex").slice(0, HEX_DIGITS);
}
