import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  formatCode,
  formatStatusText,
  MAX_STATUS_TEXT_BYTES,
  parseCode,
  parseStatusText,
  parseTimeout,
} from "./status.ts";

test("codes have the numbers of the specification; what is none is UNKNOWN", () => {
  assert.equal(formatCode("PERMISSION_DENIED"), "7");
  assert.equal(formatCode("UNAUTHENTICATED"), "16");
  assert.equal(parseCode("8"), "RESOURCE_EXHAUSTED");
  for (const value of [undefined, "", "17", "-1", "1e1", 7])
    assert.equal(parseCode(value), "UNKNOWN");
});

test("any text becomes a header of printable ASCII and is read back", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
      const header = formatStatusText(text);
      assert.match(header, /^[ -~]*$/);
      assert.equal(parseStatusText(header), text.toWellFormed());
    }),
  );
  assert.equal(formatStatusText("x".repeat(5_000)).length, MAX_STATUS_TEXT_BYTES);
  assert.equal(parseStatusText("100%"), "100%");
});

test("a timeout is a number of at most eight digits and a unit", () => {
  assert.equal(parseTimeout("10S"), 10_000);
  assert.equal(parseTimeout("2500000u"), 2_500);
  for (const value of [undefined, "", "S", "1s", "-1S", "123456789S", "1.5S", "1toString"]) {
    assert.equal(parseTimeout(value), undefined);
  }
});
