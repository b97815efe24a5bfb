import assert from "node:assert/strict";
import { test } from "node:test";
import { assert as check, integer, property } from "fast-check";
import { formatGoDuration, parseGoDuration } from "./duration.ts";

const readings: readonly (readonly [string, number | undefined])[] = [
  ["0", 0],
  ["0s", 0],
  ["10ms", 10],
  ["1m30s", 90_000],
  ["1.5s", 1_500],
  [".5s", 500],
  ["24h0m0s", 86_400_000],
  ["-30s", -30_000],
  ["+1h", 3_600_000],
  ["100us", 0.1],
  ["1µs", 0.001],
  ["", undefined],
  ["30", undefined],
  ["s", undefined],
  [".s", undefined],
  ["1 s", undefined],
  ["1d", undefined],
  ["1s2", undefined],
  ["9999999999h", undefined],
];

for (const [text, durationMs] of readings) {
  test(`the duration ${JSON.stringify(text)} reads as ${durationMs} ms`, () => {
    const read = parseGoDuration(text);
    if (durationMs === undefined || read === undefined) assert.equal(read, durationMs);
    else assert.ok(Math.abs(read - durationMs) < 1e-9);
  });
}

test("durations print as Go prints them", () => {
  const shown = [0, 1e-6, 0.1, 10, 1_500, 30_000, 90_000, 86_400_000, -10].map(formatGoDuration);
  const expected = "0s 1ns 100µs 10ms 1.5s 30s 1m30s 24h0m0s -10ms";
  assert.equal(shown.join(" "), expected);
});

test("what is printed reads back, for every whole number of milliseconds", () => {
  check(
    property(integer({ min: -(2 ** 40), max: 2 ** 40 }), (durationMs) => {
      assert.equal(parseGoDuration(formatGoDuration(durationMs)), durationMs);
    }),
  );
});
