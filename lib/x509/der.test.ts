import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  DER_LIMITS,
  decodeBitString,
  decodeBoolean,
  decodeDer,
  decodeInteger,
  encodeBitString,
  encodeDer,
  encodeInteger,
  encodeObjectId,
  encodeSequence,
  TAG,
} from "./der.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

test("lengths take as few bytes as they can", () => {
  for (const [length, header] of [
    [0, "0400"],
    [127, "047f"],
    [128, "048180"],
    [255, "0481ff"],
    [256, "04820100"],
  ] as const) {
    const encoded = encodeDer(TAG.octetString, Buffer.alloc(length));
    assert.equal(encoded.subarray(0, -length || undefined).toString("hex"), header);
    assert.equal(decodeDer(encoded)?.content.length, length);
  }
});

test("a positive integer never looks like a negative one", () => {
  for (const [magnitude, encoded] of [
    ["00", "020100"],
    ["", "020100"],
    ["7f", "02017f"],
    ["80", "02020080"],
    ["0000ff", "020200ff"],
  ] as const) {
    assert.equal(encodeInteger(hex(magnitude)).toString("hex"), encoded);
  }
});

test("object identifiers are written for parts of any size", () => {
  assert.equal(encodeObjectId("1.2.840.113549.1.1.11").toString("hex"), "06092a864886f70d01010b");
  assert.equal(encodeObjectId("2.5.29.17").toString("hex"), "0603551d11");
  // The largest UUID, of 128 one bits: 19 bytes of seven bits each.
  const uuid = encodeObjectId(`2.25.${2n ** 128n - 1n}`).toString("hex");
  assert.equal(uuid, `0614${"69"}83${"ff".repeat(17)}7f`);
});

const MALFORMED: readonly (readonly [string, string])[] = [
  ["nothing", ""],
  ["a tag without a length", "30"],
  ["two elements", "0500 0500"],
  ["bytes after the element", "0500 00"],
  ["an indefinite length", "3080 0500 0000"],
  ["a length in more bytes than it needs", "04 81 01 00"],
  ["a length in two bytes that needs one", `04 82 0080 ${"00".repeat(128)}`],
  ["a length of three bytes", "04 83 000001 00"],
  ["a length beyond the end", "04 02 00"],
  ["a child beyond its parent", "30 02 04 01 00"],
  ["a long tag", "1f 81 00 00"],
];
for (const [name, bytes] of MALFORMED) {
  test(`${name} is not DER`, () => assert.equal(decodeDer(hex(bytes)), undefined));
}

test("limits hold: bytes, depth, elements", () => {
  let nested = encodeSequence();
  for (let depth = 0; depth < DER_LIMITS.depth - 1; depth++) nested = encodeSequence(nested);
  assert.ok(decodeDer(nested) !== undefined);
  assert.equal(decodeDer(encodeSequence(encodeSequence(nested))), undefined);
  const nulls = (count: number): Buffer =>
    encodeSequence(...Array<Buffer>(count).fill(encodeDer(TAG.null)));
  assert.ok(decodeDer(nulls(DER_LIMITS.elements - 1)) !== undefined);
  assert.equal(decodeDer(nulls(DER_LIMITS.elements)), undefined);
  const longest = DER_LIMITS.lengthBytes - 4;
  assert.ok(decodeDer(encodeDer(TAG.octetString, Buffer.alloc(longest))) !== undefined);
  assert.equal(decodeDer(encodeDer(TAG.octetString, Buffer.alloc(longest + 1))), undefined);
});

test("values in other forms than DER's are none", () => {
  for (const bytes of ["0200", "0201ff", "0202007f", "0401 00"]) {
    assert.equal(decodeInteger(decodeDer(hex(bytes))), undefined, bytes);
  }
  for (const bytes of ["0100", "010101", "0102ffff", "0401ff"]) {
    assert.equal(decodeBoolean(decodeDer(hex(bytes))), undefined, bytes);
  }
  for (const bytes of ["0300", "030108", "030101", "03020101", "0401 00"]) {
    assert.equal(decodeBitString(decodeDer(hex(bytes))), undefined, bytes);
  }
});

test("what is written is read again", () => {
  const bytes = fc.uint8Array({ maxLength: 400 }).map((array) => Buffer.from(array));
  fc.assert(
    fc.property(bytes, bytes, (first, second) => {
      const decoded = decodeDer(
        encodeSequence(encodeInteger(first), encodeSequence(), encodeBitString(second)),
      );
      const [integer, , bits] = decoded?.children ?? [];
      const number = (magnitude: Buffer): bigint => BigInt(`0x0${magnitude.toString("hex")}`);
      assert.equal(number(decodeInteger(integer) ?? Buffer.of()), number(first));
      assert.deepEqual(decodeBitString(bits), second);
    }),
  );
});

test("any bytes are a tree that covers them, or nothing", () => {
  const byte = fc.oneof(
    fc.constantFrom(0x30, 0x31, 0xa0, 0x02, 0x81, 0x82, 0, 1, 2, 3),
    fc.nat(255),
  );
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 60 }), (array) => {
      const bytes = Buffer.from(array);
      assert.ok(decodeDer(bytes)?.whole.equals(bytes) ?? true);
    }),
    { numRuns: 2_000 },
  );
});
