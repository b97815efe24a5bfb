// Program: sends UDP datagrams of so many flows from the namespace it was started in, each flow one
// datagram: `datagram-flood.ts INTERFACE DESTINATION_MAC SOURCE DESTINATION FLOWS`. IPv4 only.

import { ipFrame } from "../../lib/ip/ip-frame.ts";
import { SENDER_MAC, sendFrom } from "./raw-frame.ts";

/** It survives one router. */
const HOPS = 2;
const PORTS = 65_535;
const EMPTY = Uint8Array.of(0, 0, 0, 0, 0, 8, 0, 0);

const [, , name = "", destinationMac = "", source = "", destination = "", flows = "0"] =
  process.argv;
const ends = { sourceMac: SENDER_MAC, destinationMac, source, destination };
const content = { protocol: 17, hops: HOPS, bytes: EMPTY, checksumAt: 6 };
await sendFrom(name, datagrams(Buffer.from(ipFrame(ends, content)), Number(flows)));

/** The same frame each time, from and to other ports. */
function* datagrams(frame: Buffer, count: number): Generator<Buffer> {
  frame.writeUInt16BE(0, 40); // No checksum, which is allowed.
  for (let number = 0; number < count; number++) {
    frame.writeUInt16BE(1 + (number % PORTS), 34);
    frame.writeUInt16BE(1 + Math.floor(number / PORTS), 36);
    yield frame;
  }
}
