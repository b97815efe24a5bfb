import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { arbitrarySet } from "./sample-arbitrary.ts";
import {
  encodeRange,
  nextKey,
  previousKey,
  readFields,
  readRange,
  writeFields,
} from "./element-codec.ts";
import { fieldsLengthBytes } from "./field.ts";
import type { Family, Field } from "./objects.ts";

function encode(family: Family, fields: readonly Field[], text: string): string {
  const bytes = new Uint8Array(fieldsLengthBytes(family, fields));
  writeFields(family, fields, text, bytes);
  return Buffer.from(bytes).toString("hex");
}

test("fields are padded to 4 bytes, ports in network order, numbers in host order", () => {
  const vip = ["daddr", "meta l4proto", "th dport"] as const;
  assert.equal(encode("ip", vip, "10.96.0.10 . tcp . 80"), "0a60000a0600000000500000");
  assert.equal(encode("ip", ["meta priority", "index"], "8001:2 . 3"), "0200018003000000");
  assert.equal(encode("ip", ["meta l4proto"], "sctp"), "84");
  assert.equal(encode("ip", ["meta iifname"], "eth0"), `65746830${"0".repeat(24)}`);
});

test("interval keys are in network order, first and last inclusive", () => {
  const { first, last } = encodeRange("ip", ["meta priority", "saddr"], "0:18 . 192.168.77.128/25");
  assert.equal(Buffer.from(first).toString("hex"), "00000018c0a84d80");
  assert.equal(Buffer.from(last).toString("hex"), "00000018c0a84dff");
});

test("any element's key and data come back as they were", () => {
  fc.assert(
    fc.property(arbitrarySet(), ({ family, set, elements }) => {
      for (const { key, data } of elements) {
        if (set.interval === true) {
          const { first, last } = encodeRange(family, set.key, key);
          assert.equal(readRange(family, set.key, first, last), key);
        } else assert.equal(roundTrip(family, set.key, key), key);
        if (data !== undefined && set.data !== undefined && set.data !== "verdict") {
          assert.equal(roundTrip(family, set.data, data), data);
        }
      }
    }),
  );
});

function roundTrip(family: Family, fields: readonly Field[], text: string): string {
  const bytes = new Uint8Array(fieldsLengthBytes(family, fields));
  writeFields(family, fields, text, bytes);
  return readFields(family, fields, bytes);
}

test("a host in an interval set reads as a prefix of full length", () => {
  const { first, last } = encodeRange("ip6", ["saddr"], "fd00::1");
  assert.equal(readRange("ip6", ["saddr"], first, last), "fd00::1/128");
});

test("an interval that no prefix spans reads as first and last", () => {
  const first = Uint8Array.of(10, 0, 0, 1);
  assert.equal(readRange("ip", ["saddr"], first, Uint8Array.of(10, 0, 0, 6)), "10.0.0.1-10.0.0.6");
});

test("first and last are what is written", () => {
  const address = encodeRange("ip", ["saddr"], "10.0.0.1-10.0.0.6");
  assert.deepEqual([...address.first, ...address.last], [10, 0, 0, 1, 10, 0, 0, 6]);
  const ports = ["meta l4proto", "th dport"] as const;
  const range = encodeRange("ip6", ports, "tcp . 80-90");
  assert.deepEqual([...range.first], [6, 0, 0, 0, 0, 80, 0, 0]);
  assert.deepEqual([...range.last], [6, 0, 0, 0, 0, 90, 0, 0]);
  assert.equal(readRange("ip6", ports, range.first, range.last), "tcp . 80-90");
});

test("reading bytes of any length never throws", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 40 }), (a, b) => {
      for (const fields of [["saddr"], ["meta priority", "saddr"], ["meta iifname"]] as const) {
        assert.equal(typeof readFields("ip6", fields, a), "string");
        assert.equal(typeof readRange("ip", fields, a, b), "string");
      }
    }),
  );
});

test("text that is no such field is a bug and throws", () => {
  const bytes = new Uint8Array(32);
  const write = (fields: readonly Field[], text: string) => () =>
    writeFields("ip", fields, text, bytes);
  assert.throws(write(["th dport"], "65536"), /No integer/);
  assert.throws(write(["th dport"], ""), /Too few fields/);
  assert.throws(write(["daddr"], "fd00::1"), /No ip address/);
  assert.throws(write(["daddr", "th dport"], "10.0.0.1"), /Too few fields/);
  assert.throws(write(["daddr"], "10.0.0.1 . 80"), /Too many fields/);
  assert.throws(write(["meta iifname"], "a-name-of-16-byt"), /No interface name/);
  assert.throws(write(["meta l4proto"], "carrier-pigeon"), /No integer/);
});

test("the next and the previous key carry over bytes and stop at the ends", () => {
  assert.deepEqual(nextKey(Uint8Array.of(10, 0, 255, 255)), Uint8Array.of(10, 1, 0, 0));
  assert.deepEqual(previousKey(Uint8Array.of(10, 1, 0, 0)), Uint8Array.of(10, 0, 255, 255));
  assert.equal(nextKey(Uint8Array.of(255, 255)), undefined);
  assert.equal(previousKey(Uint8Array.of(0, 0)), undefined);
});
