// What the kernel tells of logged packets, and every way in which it could be cut short.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NetlinkWriter } from "./attribute.ts";
import { decodeMessages } from "./message.ts";
import {
  decodeLoggedPacket,
  encodeLogBind,
  encodeLogMode,
  type LoggedPacket,
} from "./packet-log-codec.ts";

const PACKET = 0x0400;

/** A message as the kernel sends it: the group in its header, the rule's word, the packet. */
function message(packet: Uint8Array, prefix = "denied-in"): Uint8Array {
  const writer = new NetlinkWriter(64);
  writer.skip(20);
  writer.setUint16(4, PACKET);
  writer.string(10, prefix);
  writer.bytes(9, packet);
  writer.setUint32(0, writer.length);
  return writer.finish();
}

function decode(bytes: Uint8Array): LoggedPacket | undefined {
  const [first] = decodeMessages(bytes);
  return first && decodeLoggedPacket(first);
}

const hex = (text: string): Uint8Array =>
  Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));

const PORTS = "1f40 0050";
const IPV4 = hex(`45000028 00004000 40060000 0a000001 0a000009 ${PORTS} 00000000`);
const IPV6_HEAD =
  "60000000 0014 06 40 fd000000000000000000000000000001 fd000000000000000000000000000009";
const IPV6 = hex(`${IPV6_HEAD} ${PORTS} 00000000`);
const TCP = { prefix: "denied-in", protocol: 6, sourcePort: 8_000, destinationPort: 80 };
const V4 = { ...TCP, source: "10.0.0.1", destination: "10.0.0.9" };
const V6 = { ...TCP, source: "fd00::1", destination: "fd00::9" };

test("a packet is told with its rule's word, addresses and ports", () => {
  assert.deepEqual(decode(message(IPV4)), V4);
  assert.deepEqual(decode(message(IPV6)), V6);
  const udp = IPV4.with(9, 17);
  assert.deepEqual(decode(message(udp, "denied-out")), {
    ...V4,
    protocol: 17,
    prefix: "denied-out",
  });
});

test("ports stand behind options, of IPv4 and of IPv6", () => {
  const longer = hex(`46000028 00004000 40060000 0a000001 0a000009 01010101 ${PORTS}`);
  assert.deepEqual(decode(message(longer)), V4);
  const hopByHop = hex(`${IPV6_HEAD} 0600 010400000000 ${PORTS}`).with(6, 0);
  assert.deepEqual(decode(message(hopByHop)), V6);
  const fragment = hex(`${IPV6_HEAD} 0600 0001 00000001 ${PORTS}`).with(6, 44);
  assert.deepEqual(decode(message(fragment)), V6);
});

test("protocols without ports and later fragments have port 0", () => {
  const portless = { sourcePort: 0, destinationPort: 0 };
  assert.deepEqual(decode(message(IPV4.with(9, 1))), { ...V4, protocol: 1, ...portless });
  assert.deepEqual(decode(message(IPV4.with(7, 8))), { ...V4, ...portless });
  const later = hex(`${IPV6_HEAD} 0600 0008 00000001 ${PORTS}`).with(6, 44);
  assert.deepEqual(decode(message(later)), { ...V6, ...portless });
});

test("what is cut short or is no packet of IP is met without throwing", () => {
  for (const packet of [IPV4, IPV6]) {
    for (let length = 0; length < packet.length; length++) decode(message(packet.slice(0, length)));
    const whole = message(packet);
    for (let length = 0; length < whole.length; length++) decode(whole.slice(0, length));
  }
  assert.equal(decode(message(IPV4.with(0, 0x15))), undefined);
  assert.equal(decode(message(new Uint8Array())), undefined);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 160 }), (bytes) => {
      decode(bytes);
      decode(message(bytes));
      for (const version of [0x45, 0x60]) decode(message(Uint8Array.of(version, ...bytes)));
    }),
  );
});

test("a group is joined by its number, and the first bytes of packets are asked for", () => {
  const tail = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(16)).toString("hex");
  assert.equal(tail(encodeLogBind(0x1234, 1)), "00001234" + "0500010001000000");
  assert.equal(tail(encodeLogMode(0x1234, 2)), "00001234" + "0a000200000000800200" + "0000");
});
