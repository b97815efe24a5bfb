import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeHuffman, HUFFMAN_CODE_LENGTHS } from "./hpack-huffman.ts";

/** Codes as strings of bits, from the lengths alone, by the rule of canonical codes. */
function makeCodes(): string[] {
  const lengths = Array.from(HUFFMAN_CODE_LENGTHS, (digit) => Number.parseInt(digit, 36));
  const codes: string[] = [];
  let code = 0;
  for (let bits = 1; bits <= 30; bits++, code *= 2) {
    lengths.forEach((length, symbol) => {
      if (length === bits) codes[symbol] = (code++).toString(2).padStart(bits, "0");
    });
  }
  return codes;
}

const CODES = makeCodes();

function pack(bits: string, padding = "1"): Buffer {
  const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, padding);
  return Buffer.from((padded.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)));
}

function decode(bytes: Buffer): Buffer | undefined {
  const out = Buffer.alloc(Math.ceil((bytes.length * 8) / 5));
  const written = decodeHuffman(bytes, 0, bytes.length, out);
  return written < 0 ? undefined : out.subarray(0, written);
}

const encode = (text: Uint8Array): string => [...text].map((octet) => CODES[octet]).join("");

test("the code is that of the appendix at its corners", () => {
  assert.equal(CODES[0], "1111111111000");
  assert.equal(CODES["0".charCodeAt(0)], "00000");
  assert.equal(CODES["z".charCodeAt(0)], "1111011");
  assert.equal(CODES[255], "11111111111111111111101110");
  assert.equal(CODES[256], "1".repeat(30));
});

test("what was encoded comes out again, whatever the octets", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (text) => {
      assert.deepEqual(decode(pack(encode(text))), Buffer.from(text));
    }),
  );
});

test("padding is fewer than eight bits, all of them ones", () => {
  const a = CODES["a".charCodeAt(0)] ?? "";
  assert.equal(decode(pack(a, "0")), undefined);
  assert.equal(decode(pack(`${a}${"1".repeat(11)}`)), undefined);
  assert.equal(decode(Buffer.of(0xff)), undefined);
  assert.deepEqual(decode(pack(a)), Buffer.from("a"));
  assert.deepEqual(decode(Buffer.alloc(0)), Buffer.alloc(0));
});

test("the end of string is not part of a string", () => {
  assert.equal(decode(pack(`${CODES[97]}${CODES[256]}${CODES[97]}`)), undefined);
});

test("no bytes make it throw or write beyond its room", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => void decode(Buffer.from(bytes))),
  );
});
