// An Ethernet frame with a SYN in it: the first packet of a TCP connection (RFC 9293 §3.1) over
// IPv4 or IPv6, with its checksums (RFC 1071).

import { type Address, addressBytes } from "./address.ts";

export interface Syn {
  /** As in `02:00:00:00:00:01`. */
  readonly destinationMac: string;
  readonly source: Address;
  readonly sourcePort: number;
  /** Of the source's family. */
  readonly destination: Address;
  readonly destinationPort: number;
}

/** Locally administered; nobody answers to it. */
const SOURCE_MAC = [2, 0, 0, 0, 0, 1] as const;
const ETHERNET_BYTES = 14;
const TCP_BYTES = 20;
const TCP = 6;
const SYN = 0x02;
const HOPS = 64;
const WINDOW = 1_024;

/** The whole frame. */
export function synFrame(syn: Syn): Uint8Array {
  const [source, destination] = [addressBytes(syn.source), addressBytes(syn.destination)];
  const isIp = source.length === 4;
  const headerBytes = isIp ? 20 : 40;
  const frame = new Uint8Array(ETHERNET_BYTES + headerBytes + TCP_BYTES);
  frame.set(syn.destinationMac.split(":").map((byte) => Number.parseInt(byte, 16)));
  frame.set(SOURCE_MAC, 6);
  frame.set(isIp ? [0x08, 0x00] : [0x86, 0xdd], 12);
  const packet = frame.subarray(ETHERNET_BYTES);
  const tcp = packet.subarray(headerBytes);
  if (isIp) {
    packet.set([0x45, 0, 0, packet.length, 0, 0, 0, 0, HOPS, TCP]);
    packet.set(source, 12);
    packet.set(destination, 16);
    setUint16(packet, 10, checksum(packet.subarray(0, headerBytes)));
  } else {
    packet.set([0x60, 0, 0, 0, 0, TCP_BYTES, TCP, HOPS]);
    packet.set(source, 8);
    packet.set(destination, 24);
  }
  setUint16(tcp, 0, syn.sourcePort);
  setUint16(tcp, 2, syn.destinationPort);
  tcp.set([(TCP_BYTES / 4) << 4, SYN], 12);
  setUint16(tcp, 14, WINDOW);
  setUint16(tcp, 16, checksum(source, destination, Uint8Array.of(0, TCP, 0, TCP_BYTES), tcp));
  return frame;
}

/** Of parts of even length, one after the other. */
function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += ((part[i] ?? 0) << 8) | (part[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function setUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes.set([value >>> 8, value & 0xff], at);
}
