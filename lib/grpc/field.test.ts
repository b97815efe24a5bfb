import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  allBytes,
  decodeFields,
  decodeText,
  encodeFields,
  type Field,
  lastBytes,
  lastInt64,
  MAX_FIELDS,
  textField,
} from "./field.ts";

const number = fc.integer({ min: 1, max: 2 ** 29 - 1 });
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const field: fc.Arbitrary<Field> = fc.oneof(
  fc.tuple(number, uint64).map(([number, value]): Field => ({ kind: "varint", number, value })),
  fc.tuple(number, uint64).map(([number, value]): Field => ({ kind: "fixed64", number, value })),
  fc
    .tuple(number, fc.uint8Array())
    .map(([number, value]): Field => ({ kind: "bytes", number, value })),
  fc.tuple(number, fc.nat()).map(([number, value]): Field => ({ kind: "fixed32", number, value })),
);

const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(" ", ""), "hex");

test("what is written is read back", () => {
  fc.assert(
    fc.property(fc.array(field, { maxLength: 20 }), (fields) => {
      assert.deepEqual(decodeFields(encodeFields(fields)), { kind: "ok", fields });
    }),
  );
});

test("hostile bytes give fields or a problem, and nothing throws", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert.ok(["ok", "invalid"].includes(decodeFields(bytes).kind));
    }),
    { numRuns: 2_000 },
  );
});

test("the examples of the specification read as it says", () => {
  assert.deepEqual(decodeFields(hex("08 96 01")), {
    kind: "ok",
    fields: [{ kind: "varint", number: 1, value: 150n }],
  });
  const text = decodeFields(hex("12 07 74 65 73 74 69 6e 67"));
  assert.equal(text.kind, "ok");
  assert.equal(decodeText(lastBytes(text.fields, 2) ?? Buffer.of()), "testing");
});

test("a message that is cut anywhere inside of a field is refused", () => {
  const bytes = encodeFields([textField(1, "x".repeat(300))]);
  for (let length = 1; length < bytes.length; length++) {
    assert.equal(decodeFields(bytes.subarray(0, length)).kind, "invalid", `${length} bytes`);
  }
});

test("groups, field number 0, endless varints and lengths beyond the end are refused", () => {
  for (const bytes of [
    "0b 0c",
    "00 01",
    "08 ff ff ff ff ff ff ff ff ff ff 01",
    "0a ff ff ff ff 0f",
  ]) {
    assert.equal(decodeFields(hex(bytes)).kind, "invalid", bytes);
  }
});

test("more fields than the limit are refused", () => {
  const one: Field = { kind: "varint", number: 1, value: 0n };
  const most = encodeFields(Array.from({ length: MAX_FIELDS }, () => one));
  assert.equal(decodeFields(most).kind, "ok");
  assert.equal(decodeFields(Buffer.concat([most, encodeFields([one])])).kind, "invalid");
});

test("of a repeated field the last one counts, a negative int64 keeps its sign, no UTF-8 is no text", () => {
  const fields: Field[] = [
    textField(1, "a"),
    textField(1, "b"),
    { kind: "varint", number: 2, value: 2n ** 64n - 5n },
  ];
  assert.equal(decodeText(lastBytes(fields, 1) ?? Buffer.of()), "b");
  assert.equal(allBytes(fields, 1).length, 2);
  assert.equal(lastInt64(fields, 2), -5n);
  assert.equal(lastInt64(fields, 3), 0n);
  assert.equal(decodeText(hex("ff")), undefined);
});
