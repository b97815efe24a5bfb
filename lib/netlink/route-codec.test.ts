import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeRouteChunk, encodeRouteDump } from "./route-codec.ts";

// Parts of dumps of a loopback interface, in answer to sequence 5; the link's is cut down to the
// attributes that matter, the addresses' is as kernel 6.18 sent it.
const link =
  "2c0000001000020005000000d368000000000403010000004900010000000000" + "070003006c6f0000";
const addresses =
  "4c0000001400020005000000d5c436cb020880fe01000000080001007f000001080002007f00000107000300" +
  "6c6f0000080008008000000014000600ffffffffffffffffef450300ef4503004c0000001400020005000000" +
  "d5c436cb0218800001000000080001000a010203080002000a010203070003006c6f00000800080080000000" +
  "14000600ffffffffffffffffef450300ef450300500000001400020005000000d5c436cb0a8080fe01000000" +
  "140001000000000000000000000000000000000114000600ffffffffffffffffef450300ef45030008000800" +
  "8000000005000b0001000000";
const done = "140000000300020005000000d5c436cb00000000";

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

test("addresses of both families are read with prefix, interface and scope", () => {
  const chunk = decodeRouteChunk(bytes(addresses + done), 5);
  assert.deepEqual(chunk.addresses, [
    { family: "ip", address: "127.0.0.1", prefixLength: 8, interfaceIndex: 1, scope: "host" },
    { family: "ip", address: "10.1.2.3", prefixLength: 24, interfaceIndex: 1, scope: "global" },
    { family: "ip6", address: "::1", prefixLength: 128, interfaceIndex: 1, scope: "host" },
  ]);
  assert.deepEqual([chunk.malformed, chunk.end], [0, { errno: 0 }]);
});

test("on a point-to-point link the local address counts, not the peer's", () => {
  const part = bytes(addresses);
  part[28 + 3] = 9; // IFA_ADDRESS becomes 127.0.0.9
  part[31] = 9;
  assert.equal(decodeRouteChunk(part, 5).addresses[0]?.address, "127.0.0.1");
});

test("interfaces are read with their names", () => {
  const part = bytes(link);
  new DataView(part.buffer).setUint32(0, part.length, true);
  assert.deepEqual([...decodeRouteChunk(part, 5).links], [[1, "lo"]]);
});

test("addresses of other protocol families are no fault", () => {
  const part = bytes(addresses);
  part[16] = 28; // AF_MCTP
  const chunk = decodeRouteChunk(part, 5);
  assert.deepEqual([chunk.addresses.length, chunk.malformed], [2, 0]);
});

test("no truncation and no noise makes the decoder throw", () => {
  const whole = bytes(link + addresses + done);
  for (let length = 0; length <= whole.length; length++) {
    decodeRouteChunk(whole.subarray(0, length), 5);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(16, 20), (noise, type) => {
      const part = new Uint8Array(16 + noise.length);
      const view = new DataView(part.buffer);
      view.setUint32(0, part.length, true);
      view.setUint16(4, type, true);
      view.setUint32(8, 5, true);
      part.set(noise, 16);
      decodeRouteChunk(part, 5);
    }),
  );
});

test("links are asked for without their statistics", () => {
  const hex = Buffer.from(encodeRouteDump("links", 5)).toString("hex");
  assert.equal(hex, `28000000120001030500000000000000${"00".repeat(16)}08001d0008000000`);
});

test("addresses are asked for in both families at once", () => {
  const hex = Buffer.from(encodeRouteDump("addresses", 5)).toString("hex");
  assert.equal(hex, `18000000160001030500000000000000${"00".repeat(8)}`);
});
