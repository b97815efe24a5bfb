import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";

function encode(encoder: HpackEncoder, fields: readonly string[]): Buffer {
  encoder.begin(3);
  for (let i = 0; i < fields.length; i += 2) encoder.field(fields[i] ?? "", fields[i + 1] ?? "");
  return Buffer.from(encoder.bytes.subarray(3, encoder.end));
}

function decode(decoder: HpackDecoder, block: Buffer): string[] {
  const fields: string[] = [];
  const sink = {
    field: ({ name, value }: { name: string; value: string }) => fields.push(name, value),
  };
  assert.equal(decoder.decode(block, 0, block.length, sink), "complete");
  return fields;
}

const NAMES = ":path :authority :status content-type user-agent te cookie x-other".split(" ");
const names = fc.constantFrom(...NAMES);
const values = fc.oneof(
  fc.constantFrom("", "200", "/", "/a/b", "trailers", "v".repeat(200), "w".repeat(3000)),
  fc.string({ unit: "binary-ascii", maxLength: 300 }),
);
const lists = fc.array(fc.tuple(names, values), { maxLength: 12 }).map((pairs) => pairs.flat());
const resizes = fc.option(fc.integer({ min: 0, max: 10_000 }), { nil: undefined });

test("a decoder reads what was written, block after block, whatever the sizes of the table", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(resizes, resizes, lists), { maxLength: 20 }), (steps) => {
      const encoder = new HpackEncoder();
      const decoder = new HpackDecoder(Number.MAX_SAFE_INTEGER);
      for (const [first, second, fields] of steps) {
        if (first !== undefined) encoder.limitTable(first);
        if (second !== undefined) encoder.limitTable(second);
        assert.deepEqual(decode(decoder, encode(encoder, fields)), fields);
      }
    }),
  );
});

test("a value takes a byte when it comes a third time", () => {
  const encoder = new HpackEncoder();
  const fields = ["user-agent", "grpc-go/1.70.0"];
  assert.deepEqual(
    [1, 2, 3, 4].map(() => encode(encoder, fields).length),
    [17, 16, 1, 1],
  );
});

test("values that never come again leave the table alone", () => {
  const encoder = new HpackEncoder();
  const agent = ["user-agent", "a"];
  for (let i = 0; i < 3; i++) encode(encoder, agent);
  for (let i = 0; i < 500; i++) encode(encoder, [":path", `/${i}`]);
  assert.equal(encode(encoder, agent).length, 1);
});

test("secrets, and whatever may be one, are marked as never to be indexed", () => {
  for (const name of [
    "authorization",
    "cookie",
    "set-cookie",
    "proxy-authorization",
    "x-api-key",
  ]) {
    const encoder = new HpackEncoder();
    const [first, second, third] = [1, 2, 3].map(() => encode(encoder, [name, "secret"]));
    assert.equal((first?.[0] ?? 0) & 0xf0, 0x10);
    assert.deepEqual(first, second);
    assert.deepEqual(first, third);
  }
});

test("a path with a query is not indexed", () => {
  const encoder = new HpackEncoder();
  const lengths = [1, 2, 3].map(() => encode(encoder, [":path", "/?token=1"]).length);
  assert.deepEqual(lengths, [11, 11, 11]);
});

test("a peer's smaller table is announced, its lowest size first", () => {
  const encoder = new HpackEncoder();
  encoder.limitTable(0);
  encoder.limitTable(100);
  assert.equal(encode(encoder, [":method", "GET"]).toString("hex"), "203f4582");
  encoder.limitTable(1_000_000);
  assert.equal(encode(encoder, [":method", "GET"]).toString("hex"), "3fe11f82");
});
