// For tests of policies' parsers: what a parser told.

import assert from "node:assert/strict";
import type { Parsed } from "./parsed.ts";

/** The object, which must be readable, and its problems as `field: message`. */
export function readOk<T>(parsed: Parsed<T>): {
  readonly object: T;
  readonly told: readonly string[];
} {
  assert(parsed.kind === "ok", JSON.stringify(parsed));
  const told = parsed.problems.map(({ field, message }) => `${field}: ${message}`);
  return { object: parsed.object, told };
}
