// Lines come out whole, however the network cut them.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { makeLineSplitter } from "./line-splitter.ts";

function split(
  chunks: readonly Uint8Array[],
  maxLineBytes = 1_000,
): readonly string[] | "too-long" {
  const splitter = makeLineSplitter(maxLineBytes);
  const lines: string[] = [];
  for (const chunk of chunks) {
    const result = splitter.push(chunk);
    if (result.kind === "too-long") return "too-long";
    lines.push(...result.lines);
  }
  return lines;
}

/** Cuts bytes at each of the given places. */
function cut(bytes: Uint8Array, places: readonly number[]): readonly Uint8Array[] {
  const sorted = [...places.map((place) => place % (bytes.length + 1)), 0, bytes.length];
  sorted.sort((a, b) => a - b);
  return sorted.slice(1).map((end, i) => bytes.slice(sorted[i], end));
}

test("any cutting of the bytes gives the same lines", () => {
  const line = fc.string({ unit: "grapheme" }).map((text) => text.replaceAll("\n", " "));
  fc.assert(
    fc.property(fc.array(line), fc.string(), fc.array(fc.nat()), (lines, rest, places) => {
      const text = lines.map((one) => `${one}\n`).join("");
      const tail = rest.replaceAll("\n", " ");
      const chunks = cut(new TextEncoder().encode(text + tail), places);
      assert.deepEqual(
        split(chunks, 100_000),
        lines.map((one) => one.toWellFormed()),
      );
    }),
  );
});

test("a line of the greatest length passes and one byte more does not, however cut", () => {
  const bytes = new TextEncoder().encode(`${"x".repeat(10)}\n`);
  for (let place = 0; place <= bytes.length; place++) {
    assert.deepEqual(split(cut(bytes, [place]), 10), ["x".repeat(10)]);
    assert.equal(split(cut(bytes, [place]), 9), "too-long");
  }
});

test("a line without an end is given up as soon as it is too long", () => {
  assert.equal(split([new TextEncoder().encode("x".repeat(11))], 10), "too-long");
});

test("the bytes that wait for their line's end are counted", () => {
  const splitter = makeLineSplitter(100);
  splitter.push(new TextEncoder().encode("one\ntw"));
  assert.equal(splitter.pendingBytes, 2);
  splitter.push(new TextEncoder().encode("o\n"));
  assert.equal(splitter.pendingBytes, 0);
});
