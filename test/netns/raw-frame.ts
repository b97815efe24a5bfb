// Builds one Ethernet frame with a TCP segment in it; as a program, sends such a frame from the
// namespace it was started in: `raw-frame.ts INTERFACE HEX`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { bind, close, SOCK_RAW, send, socket } from "../../lib/sys/ffi.ts";

const AF_PACKET = 17;
const IPPROTO_TCP = 6;
export const TCP_ACK = 0x10;

export interface TcpSegment {
  /** Six bytes as `02:71:00:00:01:01`. */
  readonly destinationMac: string;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgement: number;
  /** See `TCP_ACK`. */
  readonly flags: number;
  readonly payload: string;
}

/** The frame's bytes, with all checksums. The source MAC is made up. */
export function tcpFrame(segment: TcpSegment): Buffer {
  const [source, destination] = [bytesOf(segment.source), bytesOf(segment.destination)];
  const tcp = Buffer.alloc(20 + segment.payload.length);
  tcp.writeUInt16BE(segment.sourcePort, 0);
  tcp.writeUInt16BE(segment.destinationPort, 2);
  tcp.writeUInt32BE(segment.sequence, 4);
  tcp.writeUInt32BE(segment.acknowledgement, 8);
  tcp.writeUInt8(5 << 4, 12);
  tcp.writeUInt8(segment.flags, 13);
  tcp.writeUInt16BE(1024, 14);
  tcp.write(segment.payload, 20);
  const lengthAndProtocol = Buffer.alloc(8);
  lengthAndProtocol.writeUInt32BE(tcp.length, 0);
  lengthAndProtocol.writeUInt32BE(IPPROTO_TCP, 4);
  tcp.writeUInt16BE(checksum([source, destination, lengthAndProtocol, tcp]), 16);
  const mac = Buffer.from(segment.destinationMac.replaceAll(":", ""), "hex");
  const isIp = source.length === 4;
  const type = Buffer.from(isIp ? "0800" : "86dd", "hex");
  const header = isIp ? ipHeader(source, destination, tcp) : ip6Header(source, destination, tcp);
  return Buffer.concat([mac, Buffer.from("020000000001", "hex"), type, header, tcp]);
}

function ipHeader(source: Buffer, destination: Buffer, content: Buffer): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(20 + content.length, 2);
  header.writeUInt8(64, 8);
  header.writeUInt8(IPPROTO_TCP, 9);
  source.copy(header, 12);
  destination.copy(header, 16);
  header.writeUInt16BE(checksum([header]), 10);
  return header;
}

function ip6Header(source: Buffer, destination: Buffer, content: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(0x60, 0);
  header.writeUInt16BE(content.length, 4);
  header.writeUInt8(IPPROTO_TCP, 6);
  header.writeUInt8(64, 7);
  return Buffer.concat([header, source, destination]);
}

/** RFC 1071, over parts that are joined; only the last may be of odd length. */
export function checksum(parts: readonly Buffer[]): number {
  const bytes = Buffer.concat([...parts, Buffer.alloc(1)]);
  let sum = 0;
  for (let i = 0; i + 1 < bytes.length; i += 2) sum += bytes.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export function bytesOf(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split(".").map(Number));
  const [head = "", tail] = address.split("::");
  const groups = (text: string): string[] => text.split(":").filter((group) => group !== "");
  const [first, last] = [groups(head), groups(tail ?? "")];
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => "0");
  const words = [...first, ...zeros, ...last].map((group) => group.padStart(4, "0"));
  return Buffer.from(words.join(""), "hex");
}

/** Sends frames one after the other. @param frame is asked for number 0, 1 and so on */
export function sendFrames(
  interfaceName: string,
  count: number,
  frame: (number: number) => Uint8Array,
): void {
  const fd = socket(AF_PACKET, SOCK_RAW, 0);
  const address = new DataView(new ArrayBuffer(20));
  address.setUint16(0, AF_PACKET, true);
  address.setInt32(4, interfaceIndex(interfaceName), true);
  bind(fd, new Uint8Array(address.buffer));
  for (let number = 0; number < count; number++) send(fd, frame(number));
  close(fd);
}

/** /sys shows the interfaces of whoever mounted it; /proc/net those of this process. */
function interfaceIndex(name: string): number {
  const lines = readFileSync("/proc/net/if_inet6", "utf8").trim().split("\n");
  const fields = lines.map((line) => line.split(/\s+/)).find((words) => words[5] === name);
  assert(fields !== undefined, `${name} has no IPv6 address`);
  return Number.parseInt(fields[1] ?? "", 16);
}

if (import.meta.main) {
  const [, , name = "", hex = ""] = process.argv;
  sendFrames(name, 1, () => Buffer.from(hex, "hex"));
}
