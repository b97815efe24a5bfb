import assert from "node:assert/strict";
import { test } from "node:test";
import { anything, assert as check, dictionary, property, string } from "fast-check";
import { redactFields, redactText } from "./redact.ts";

const BLOT = "[redacted]";
const KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----";
const JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJub2RlIn0.c2lnbmF0dXJl";

const texts: readonly (readonly [string, string])[] = [
  [`key ${KEY} end`, `key ${BLOT} end`],
  ["-----BEGIN PRIVATE KEY-----\ncut off", BLOT],
  [`got ${JWT}.`, `got ${BLOT}.`],
  ["Bearer abcdefgh12", `Bearer ${BLOT}`],
  ["https://user:pa55@host/x", `https://${BLOT}@host/x`],
  ["-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"],
  ["service default/web:80 is fine", "service default/web:80 is fine"],
];

for (const [text, expected] of texts) {
  test(`${JSON.stringify(text.slice(0, 30))} is written as ${JSON.stringify(expected)}`, () => {
    assert.equal(redactText(text), expected);
  });
}

test("fields with secret names are blotted out, names that only point to a secret are not", () => {
  const fields = { token: "a", clientSecret: 1, Password: "b", "private-key": "c" };
  assert.deepEqual(Object.values(redactFields(fields)), [BLOT, BLOT, BLOT, BLOT]);
  const harmless = { tokenPath: "/x", secretName: "s", tokenCount: 3, author: "me" };
  assert.deepEqual(redactFields(harmless), harmless);
});

test("maps, sets, dates, bytes and big integers become plain data", () => {
  const fields = {
    map: new Map([["token", "a"]]),
    set: new Set([1]),
    date: new Date(0),
    bytes: new Uint8Array(3),
    big: 10n,
  };
  assert.deepEqual(redactFields(fields), {
    map: { token: BLOT },
    set: [1],
    date: "1970-01-01T00:00:00.000Z",
    bytes: "[3 bytes]",
    big: "10",
  });
});

test("long texts, long lists and cycles are cut", () => {
  const cycle: Record<string, unknown> = {};
  cycle["self"] = cycle;
  const { text, list, deep } = redactFields({
    text: "x".repeat(20_000),
    list: Array(500).fill(0),
    deep: cycle,
  });
  assert.match(String(text), /^x{8192}… \(cut\)$/);
  assert.ok(Array.isArray(list) && list.length === 101 && list[100] === "… (500 in all)");
  assert.match(JSON.stringify(deep), /too deep/);
});

test("whatever is logged becomes JSON without throwing", () => {
  check(
    property(dictionary(string(), anything()), (fields) => {
      JSON.stringify(redactFields(fields));
    }),
  );
});
