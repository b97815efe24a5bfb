// Builds one Ethernet frame with a TCP segment in it; as a program, sends such a frame from the
// namespace it was started in: `raw-frame.ts INTERFACE HEX`.

import assert from "node:assert/strict";
import { type FrameEnds, ipFrame } from "../../lib/ip/ip-frame.ts";
import { listLinks } from "../../lib/netlink/link.ts";
import { sendFrames } from "../../lib/netlink/packet-socket.ts";

/** Made up: any address that a switch takes for one. */
export const SENDER_MAC = "02:00:00:00:00:01";
export const TCP_ACK = 0x10;

export interface TcpSegment extends Omit<FrameEnds, "sourceMac"> {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgement: number;
  /** See `TCP_ACK`. */
  readonly flags: number;
  readonly payload: string;
}

/** The frame's bytes, with all checksums. The source MAC is made up. */
export function tcpFrame(segment: TcpSegment): Buffer {
  const tcp = Buffer.alloc(20 + segment.payload.length);
  tcp.writeUInt16BE(segment.sourcePort, 0);
  tcp.writeUInt16BE(segment.destinationPort, 2);
  tcp.writeUInt32BE(segment.sequence, 4);
  tcp.writeUInt32BE(segment.acknowledgement, 8);
  tcp.writeUInt8(5 << 4, 12);
  tcp.writeUInt8(segment.flags, 13);
  tcp.writeUInt16BE(1024, 14);
  tcp.write(segment.payload, 20);
  const content = { protocol: 6, hops: 64, bytes: tcp, checksumAt: 16 };
  return Buffer.from(ipFrame({ ...segment, sourceMac: SENDER_MAC }, content));
}

/** Sends frames one after the other, each made when its turn has come. */
export async function sendFrom(interfaceName: string, frames: Iterable<Uint8Array>): Promise<void> {
  const link = (await listLinks()).find(({ name }) => name === interfaceName);
  assert(link !== undefined, `there is no ${interfaceName}`);
  sendFrames(link.index, frames);
}

if (import.meta.main) {
  const [, , name = "", hex = ""] = process.argv;
  await sendFrom(name, [Buffer.from(hex, "hex")]);
}
