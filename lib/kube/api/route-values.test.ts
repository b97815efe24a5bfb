// The small languages inside routes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isFieldValue, isHostname, isRoutePath, parseDuration } from "./route-values.ts";

test("durations are those of GEP-2257", () => {
  for (const [text, durationMs] of [
    ["0s", 0],
    ["1h", 3_600_000],
    ["1h30m", 5_400_000],
    ["10ms", 10],
    ["1h22m33s44ms", 4_953_044],
    ["1s1s", 2_000],
  ] as const) {
    assert.equal(parseDuration(text), durationMs, text);
  }
  for (const bad of ["", "1", "s", "-1s", "1.5s", "1 s", "123456s", "1h1h1h1h1h", "1d", 5, null]) {
    assert.equal(parseDuration(bad), undefined, String(bad));
  }
});

test("field values are printable, and hostile ones are read in linear time", () => {
  for (const good of ["a", "a b", "a\tb", "a  b", "~!"]) assert.ok(isFieldValue(good), good);
  for (const bad of ["", " a", "a ", "a\nb", "a\r\nb", "a\0b", "ä", 5, "a".repeat(4_097)]) {
    assert.ok(!isFieldValue(bad), String(bad).slice(0, 9));
  }
  assert.ok(!isFieldValue(`${"a ".repeat(2_000)}\n`));
});

test("hostnames are lower-case DNS names", () => {
  for (const good of ["a", "a.b-c.d", "1.2"]) assert.ok(isHostname(good), good);
  for (const bad of ["", "A", "a.", ".a", "-a", "a_b", "a b", "a:80", "a".repeat(254)]) {
    assert.ok(!isHostname(bad), bad);
  }
});

test("paths are absolute and in one form", () => {
  for (const good of ["/", "/a", "/a/", "/a.b/..c/%20"]) assert.ok(isRoutePath(good), good);
  for (const bad of ["", "a", "//", "/a/./b", "/a/.", "/..", "/a?b", "/a%2fb", "/a%zz", "/ä"]) {
    assert.ok(!isRoutePath(bad), bad);
  }
});
