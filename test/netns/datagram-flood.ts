// Program: sends UDP datagrams of so many flows from the namespace it was started in, each flow one
// datagram: `datagram-flood.ts INTERFACE DESTINATION_MAC SOURCE DESTINATION FLOWS`. IPv4 only.

import { sendFrames } from "./raw-frame.ts";

const HEADERS = 14 + 20 + 8;
/** It survives one router. */
const HOPS = 2;
const PORTS = 65_535;

const [, , name = "", mac = "", source = "", destination = "", flows = "0"] = process.argv;
const frame = Buffer.alloc(HEADERS);
frame.set(Buffer.from(mac.replaceAll(":", ""), "hex"), 0);
frame.set([2, 0, 0, 0, 0, 1], 6); // Any address that a switch takes for one.
frame.writeUInt16BE(0x0800, 12);
frame.writeUInt8(0x45, 14);
frame.writeUInt16BE(28, 16);
frame.writeUInt8(HOPS, 22);
frame.writeUInt8(17, 23);
frame.set(source.split(".").map(Number), 26);
frame.set(destination.split(".").map(Number), 30);
frame.writeUInt16BE(headerChecksum(frame.subarray(14, 34)), 24);
frame.writeUInt16BE(8, 38); // The checksum of the datagram stays 0: not computed, which is allowed.
sendFrames(name, Number(flows), (number) => {
  frame.writeUInt16BE(1 + (number % PORTS), 34);
  frame.writeUInt16BE(1 + Math.floor(number / PORTS), 36);
  return frame;
});

function headerChecksum(header: Buffer): number {
  let sum = 0;
  for (let i = 0; i < header.length; i += 2) sum += header.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
