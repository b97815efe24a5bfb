import assert from "node:assert/strict";
import { test } from "node:test";
import { synFrame } from "./syn-frame.ts";

const ENDS = { destinationMac: "02:00:00:00:00:aa", sourcePort: 40_000, destinationPort: 80 };

/** RFC 1071: with its checksum in place, a sum over all is all ones. */
function sum(...parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += bytes.readUInt16BE(i);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

test("a SYN over IPv4", () => {
  const syn = { ...ENDS, source: "192.0.2.2", destination: "10.0.0.1" };
  const frame = Buffer.from(synFrame(syn));
  const [header, tcp] = [frame.subarray(14, 34), frame.subarray(34)];
  assert.equal(frame.subarray(0, 14).toString("hex"), "0200000000aa0200000000010800");
  assert.equal(header.toString("hex", 0, 10), "45000028000000004006");
  assert.equal(header.toString("hex", 12), "c00002020a000001");
  assert.equal(sum(header), 0xffff);
  assert.equal(tcp.toString("hex", 0, 16), "9c40005000000000000000005002" + "0400");
  assert.equal(sum(header.subarray(12), Uint8Array.of(0, 6, 0, 20), tcp), 0xffff);
});

test("a SYN over IPv6", () => {
  const syn = { ...ENDS, source: "100::1", destination: "fd00::7" };
  const frame = Buffer.from(synFrame(syn));
  const [header, tcp] = [frame.subarray(14, 54), frame.subarray(54)];
  assert.equal(frame.readUInt16BE(12), 0x86dd);
  assert.equal(header.toString("hex", 0, 8), "6000000000140640");
  assert.equal(header.toString("hex", 8, 24), "0100" + "0".repeat(26) + "01");
  assert.equal(tcp.length, 20);
  assert.equal(sum(header.subarray(8), Uint8Array.of(0, 6, 0, 20), tcp), 0xffff);
});
