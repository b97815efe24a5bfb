import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFrame } from "./frame.ts";

const facts = {
  sourceMac: "02:00:00:00:00:01",
  destinationMac: "ee:ee:ee:ee:ee:ee",
  source: "10.0.0.1",
  destination: "10.0.0.2",
  destinationPort: 80,
};

/** One's complement sum of words: 0xffff where a checksum among them is right. */
function sumOfWords(...parts: readonly (readonly number[])[]): number {
  let total = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) total += ((part[i] ?? 0) << 8) | (part[i + 1] ?? 0);
  }
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

test("the IP header's checksum is right", () => {
  for (const kind of ["udp", "syn"] as const) {
    const { bytes } = makeFrame({ ...facts, kind });
    assert.equal(sumOfWords([...bytes.subarray(14, 34)]), 0xffff);
    assert.equal(bytes.length, kind === "udp" ? 60 : 54);
  }
});

test("a SYN's checksum is right for each source port", () => {
  const frame = makeFrame({ ...facts, kind: "syn" });
  for (const port of [1, 1_024, 40_000, 65_535]) {
    frame.setSourcePort(port);
    const segment = [...frame.bytes.subarray(34)];
    assert.equal((segment[0] ?? 0) * 256 + (segment[1] ?? 0), port);
    assert.equal(sumOfWords([...frame.bytes.subarray(26, 34)], [0, 6, 0, 20], segment), 0xffff);
  }
});
