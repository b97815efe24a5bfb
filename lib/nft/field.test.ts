import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeUserData, fieldsTypeId, parseTypeof, typeofExpression } from "./field.ts";
import type { Family, Field } from "./objects.ts";

const fields: readonly Field[] = [
  "saddr",
  "daddr",
  "th dport",
  "meta l4proto",
  "meta priority",
  "meta iifname",
  "index",
];

test("the typeof of any fields reads back", () => {
  fc.assert(
    fc.property(
      fc.constantFrom<Family>("ip", "ip6"),
      fc.array(fc.constantFrom(...fields), { minLength: 1, maxLength: 5 }),
      (family, list) => {
        assert.deepEqual(parseTypeof(family, typeofExpression(family, list)), list);
      },
    ),
  );
  assert.equal(parseTypeof("ip", typeofExpression("ip", "verdict")), "verdict");
});

test("an address of the other family is no field of this one", () => {
  assert.equal(parseTypeof("ip", typeofExpression("ip6", ["saddr"])), undefined);
});

test("a concatenation packs the type ids of its fields, 6 bits each", () => {
  assert.equal(fieldsTypeId("ip", ["daddr", "meta l4proto", "th dport"]), 0x730d);
});

test("reading user data never throws, at any truncation", () => {
  const whole = typeofExpression("ip6", ["meta priority", "index", "daddr"]);
  for (let length = 0; length < whole.length; length++) {
    assert.equal(parseTypeof("ip6", whole.subarray(0, length)), undefined);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      parseTypeof("ip", bytes);
      decodeUserData(bytes);
    }),
  );
});
