// Expressions are RE2's, anchored, and take time linear to the text (F12).

import assert from "node:assert/strict";
import { test } from "node:test";
import { compileRegex } from "./route-regex.ts";

function matches(pattern: string, text: string): boolean {
  const regex = compileRegex(pattern);
  assert.ok(regex.kind === "regex", pattern);
  return regex.test(text);
}

test("the whole text must match", () => {
  assert.ok(matches("/v[0-9]+/.*", "/v12/a"));
  assert.ok(!matches("/v[0-9]+", "/v12/a"));
  assert.ok(!matches("v[0-9]+", "/v12"));
  assert.ok(matches("a|b", "b"));
  assert.ok(!matches("a|b", "ab"));
  assert.ok(matches("^/a$", "/a"));
  assert.ok(matches("(?i)/A", "/a"));
});

for (const pattern of [
  "(",
  "[",
  "a**",
  "(a)\\1",
  "(?=a)",
  "(?<!a)b",
  "a{1,100000}",
  "(a{1,1000}){1,1000}",
  "(((a{1,50}){1,10}){1,2}){1,9}",
  "[a-z]{1,250}",
  "a".repeat(513),
  `${"(".repeat(5_000)}${")".repeat(5_000)}`,
]) {
  test(`${pattern.slice(0, 40)} is refused`, () => {
    assert.equal(compileRegex(pattern).kind, "bad");
  });
}

test("expressions that make other engines try again and again end at once", () => {
  const text = "a".repeat(8_000);
  const startMs = performance.now();
  for (const evil of ["(a*)*b", "(a+a+)+b", "(a|aa)+b", "(.*)*b"]) assert.ok(!matches(evil, text));
  // Milliseconds here; a backtracking engine would not end.
  assert.ok(performance.now() - startMs < 2_000);
});
