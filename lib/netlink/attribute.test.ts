import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeAttributes,
  findAttribute,
  findNested,
  NetlinkWriter,
  nulTerminated,
  readString,
  readU32,
} from "./attribute.ts";

test("attributes are padded to 4 bytes, their length is not", () => {
  const writer = new NetlinkWriter(8);
  writer.string(1, "abc");
  writer.u8(2, 7);
  assert.deepEqual(
    Buffer.from(writer.finish()).toString("hex"),
    "0800010061626300" + "0500020007000000",
  );
});

test("any values come back, nested or not, from a buffer that has to grow", () => {
  const values = fc.array(
    fc.record({ type: fc.nat(0x3fff), value: fc.uint8Array({ maxLength: 300 }) }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(values, (attributes) => {
      const writer = new NetlinkWriter(4);
      const outer = writer.begin(5);
      for (const { type, value } of attributes) writer.bytes(type, value);
      writer.end(outer);
      const inner = findAttribute(writer.finish(), 5);
      assert(inner !== undefined);
      const decoded = decodeAttributes(inner);
      assert.deepEqual(
        decoded.map(({ type, value }) => ({ type, value: [...value] })),
        attributes.map(({ type, value }) => ({ type, value: [...value] })),
      );
    }),
  );
});

test("numbers are in network order", () => {
  const writer = new NetlinkWriter();
  writer.u32(1, 0xfffffffc);
  writer.u64(2, 10_800_000);
  const bytes = writer.finish();
  assert.equal(readU32(findAttribute(bytes, 1)), 0xfffffffc);
  const value = Buffer.from(findAttribute(bytes, 2) ?? []).toString("hex");
  assert.equal(value, "0000000000a4cb80");
});

test("names must be ASCII; user text may be UTF-8", () => {
  assert.throws(() => new NetlinkWriter().string(1, "ü"), /not ASCII/);
  assert.equal(readString(nulTerminated("ü")), "ü");
});

test("an attribute over 16 bits of length is refused instead of cut", () => {
  const writer = new NetlinkWriter();
  assert.throws(() => writer.bytes(1, new Uint8Array(65_532)), RangeError);
  const at = writer.begin(1);
  writer.bytes(1, new Uint8Array(40_000));
  writer.bytes(1, new Uint8Array(40_000));
  assert.throws(() => writer.end(at), RangeError);
});

test("decoding never throws, whatever the bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const { value } of decodeAttributes(bytes)) decodeAttributes(value);
      findNested(bytes, 1, 2, 3);
      readU32(bytes);
      readString(bytes);
    }),
  );
});
