import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeTime, encodeTime } from "./certificate-time.ts";
import { decodeDer, encodeDer, TAG } from "./der.ts";

test("years from 1950 to 2049 have two digits, others four", () => {
  for (const [iso, text] of [
    ["1950-01-01T00:00:00Z", "500101000000Z"],
    ["2026-06-01T12:34:56.789Z", "260601123456Z"],
    ["2049-12-31T23:59:59Z", "491231235959Z"],
    ["2050-01-01T00:00:00Z", "20500101000000Z"],
    ["9999-12-31T23:59:59Z", "99991231235959Z"],
  ] as const) {
    const element = decodeDer(encodeTime(Date.parse(iso)));
    assert.equal(element?.tag, text.length === 13 ? TAG.utcTime : TAG.generalizedTime);
    assert.equal(element?.content.toString(), text);
  }
});

test("a time that is written is read to the second", () => {
  const most = Date.parse("9999-12-31T23:59:59Z") / 1_000;
  fc.assert(
    fc.property(fc.integer({ min: -631_152_000, max: most }), (seconds) => {
      assert.equal(decodeTime(decodeDer(encodeTime(seconds * 1_000))), seconds * 1_000);
    }),
  );
});

test("other forms of time, and days of no calendar, are none", () => {
  for (const text of [
    "",
    "2606011234Z",
    "260601123456",
    "260601123456+0100",
    "20260601123456Z",
    "260230000000Z",
    "260001000000Z",
    "260601240000Z",
    "260601126000Z",
    "2606011234 6Z",
  ]) {
    assert.equal(decodeTime(decodeDer(encodeDer(TAG.utcTime, Buffer.from(text)))), undefined, text);
  }
  for (const text of ["20500101000000.5Z", "500101000000Z", "20500101000000"]) {
    const element = decodeDer(encodeDer(TAG.generalizedTime, Buffer.from(text)));
    assert.equal(decodeTime(element), undefined, text);
  }
});
