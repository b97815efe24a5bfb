import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { findStalePages, generatePages } from "./generate-docs.ts";

test("generated pages, and the generated parts of others, say what the code says", () => {
  const stale = findStalePages(join(import.meta.dirname, ".."));
  assert.deepEqual(stale, [], "run node scripts/generate-docs.ts");
});

test("a missing page counts as stale", () => {
  const paths = generatePages().map(({ path }) => path);
  assert.deepEqual(findStalePages(join(import.meta.dirname, "no-such-directory")), paths);
});
