import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { decodePem, encodePem } from "./pem.ts";
import { makeSampleRoot } from "./sample-certificate.ts";

test("a block is what Node writes", () => {
  const { der } = makeSampleRoot();
  assert.equal(encodePem(der), new X509Certificate(der).toString());
});

test("certificates are found in order, among notes, keys and either kind of line end", () => {
  const [a, b] = [Buffer.from("one"), Buffer.from("two")];
  const key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
  const text = `Subject: x\n${encodePem(a)}${key}${encodePem(b)}end`;
  assert.deepEqual(decodePem(text), [a, b]);
  assert.deepEqual(decodePem(text.replaceAll("\n", "\r\n")), [a, b]);
  assert.deepEqual(decodePem(""), []);
  assert.deepEqual(decodePem(encodePem(a).slice(0, -2)), []);
});

test("a text holds at most 64 certificates", () => {
  assert.equal(decodePem(encodePem(Buffer.from("x")).repeat(100)).length, 64);
});

test("any bytes survive, and any text is read", () => {
  const lists = fc.array(
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    { maxLength: 5 },
  );
  fc.assert(
    fc.property(lists, (ders) => assert.deepEqual(decodePem(ders.map(encodePem).join("")), ders)),
  );
  const edge = fc.constantFrom("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "\n");
  const texts = fc.array(fc.oneof(edge, fc.string())).map((parts) => parts.join(""));
  fc.assert(fc.property(texts, (text) => void decodePem(text)));
});
