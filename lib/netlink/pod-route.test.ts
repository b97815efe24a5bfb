import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NetlinkWriter } from "./attribute.ts";
import { decodeFarAddresses, decodeHostRoutes } from "./pod-route.ts";

const RTM_NEWROUTE = 24;
const RTM_NEWADDR = 20;
const SEQUENCE = 5;

/** A message as the kernel sends it. */
function message(type: number, body: readonly number[], write: (w: NetlinkWriter) => void) {
  const writer = new NetlinkWriter();
  const at = writer.skip(16 + body.length);
  writer.setUint16(4, type);
  writer.setUint32(8, SEQUENCE);
  writer.buffer.set(body, at + 16);
  write(writer);
  writer.setUint32(0, writer.length);
  return writer.finish();
}

function route(lengthBits: number, kind: number, flags = 0): Uint8Array {
  const body = [2, lengthBits, 0, 0, 254, 4, 253, kind, flags & 255, flags >> 8, 0, 0];
  return message(RTM_NEWROUTE, body, (writer) => {
    writer.bytes(1, Uint8Array.of(10, 71, 1, 2));
    writer.setUint32(writer.reserve(4, 4), 7);
  });
}

const host = route(32, 1);
const address = message(RTM_NEWADDR, [10, 64, 0, 0, 3, 0, 0, 0], (writer) => {
  writer.bytes(1, Uint8Array.from([0xfd, 0x71, ...Array<number>(13).fill(0), 2]));
});

test("a route to one address tells the link", () => {
  assert.deepEqual(decodeHostRoutes(host, SEQUENCE).found, [{ address: "10.71.1.2", link: 7 }]);
});

test("routes to prefixes, local ones and cached ones do not count", () => {
  for (const other of [route(24, 1), route(32, 2), route(32, 1, 0x200)]) {
    const { found, malformed } = decodeHostRoutes(other, SEQUENCE);
    assert.deepEqual([found, malformed], [[], 0]);
  }
});

test("an address of another namespace comes with its link's number there", () => {
  assert.deepEqual(decodeFarAddresses(address, SEQUENCE).found, [{ address: "fd71::2", link: 3 }]);
});

test("no truncation and no noise makes a decoder throw", () => {
  for (const [whole, decode] of [
    [host, decodeHostRoutes],
    [address, decodeFarAddresses],
  ] as const) {
    for (let length = 0; length <= whole.length; length++)
      decode(whole.subarray(0, length), SEQUENCE);
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 200 }), (noise) => {
        new DataView(noise.buffer).setUint32(0, noise.length, true);
        new DataView(noise.buffer).setUint32(8, SEQUENCE, true);
        decode(noise, SEQUENCE);
      }),
    );
  }
});
