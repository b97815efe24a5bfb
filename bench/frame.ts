// Ethernet frames of one datagram or one SYN, made once and sent again and again with another
// source port: each port is a flow of its own to the kernel. IPv4 only. Pure.

import { addressBytes } from "../lib/ip/address.ts";

const ETHERNET_BYTES = 14;
const IP_BYTES = 20;
const TCP_BYTES = 20;
const UDP_BYTES = 8;
const PAYLOAD_BYTES = 18;
const TRANSPORT_AT = ETHERNET_BYTES + IP_BYTES;
const TCP_CHECKSUM_AT = TRANSPORT_AT + 16;
const ETHERTYPE_IP = 0x0800;
const PROTOCOL = { syn: 6, udp: 17 } as const;
const TCP_SYN = 0x02;
const TTL = 64;
const WINDOW = 65_535;

export interface FrameFacts {
  readonly kind: "syn" | "udp";
  /** As `02:00:00:00:00:01`. */
  readonly sourceMac: string;
  readonly destinationMac: string;
  readonly source: string;
  readonly destination: string;
  readonly destinationPort: number;
}

/** A frame whose source port can be set. */
export interface Frame {
  readonly bytes: Uint8Array;
  setSourcePort(port: number): void;
}

export function makeFrame(facts: FrameFacts): Frame {
  const isSyn = facts.kind === "syn";
  const transportBytes = isSyn ? TCP_BYTES : UDP_BYTES + PAYLOAD_BYTES;
  const bytes = new Uint8Array(TRANSPORT_AT + transportBytes);
  const view = new DataView(bytes.buffer);
  bytes.set(macBytes(facts.destinationMac), 0);
  bytes.set(macBytes(facts.sourceMac), 6);
  view.setUint16(12, ETHERTYPE_IP);
  writeIpHeader(bytes, facts, transportBytes);
  view.setUint16(TRANSPORT_AT + 2, facts.destinationPort);
  if (!isSyn) {
    // A checksum of 0 is none.
    view.setUint16(TRANSPORT_AT + 4, transportBytes);
    return { bytes, setSourcePort: (port) => view.setUint16(TRANSPORT_AT, port) };
  }
  view.setUint16(TRANSPORT_AT + 12, ((TCP_BYTES / 4) << 12) | TCP_SYN);
  view.setUint16(TRANSPORT_AT + 14, WINDOW);
  const addresses = sum(bytes, ETHERNET_BYTES + 12, TRANSPORT_AT);
  const constant = addresses + PROTOCOL.syn + TCP_BYTES + sum(bytes, TRANSPORT_AT, bytes.length);
  return {
    bytes,
    setSourcePort(port) {
      view.setUint16(TRANSPORT_AT, port);
      view.setUint16(TCP_CHECKSUM_AT, complement(constant + port));
    },
  };
}

function writeIpHeader(bytes: Uint8Array, facts: FrameFacts, transportBytes: number): void {
  const view = new DataView(bytes.buffer, ETHERNET_BYTES, IP_BYTES);
  view.setUint8(0, 0x45);
  view.setUint16(2, IP_BYTES + transportBytes);
  view.setUint8(8, TTL);
  view.setUint8(9, PROTOCOL[facts.kind]);
  bytes.set(addressBytes(facts.source), ETHERNET_BYTES + 12);
  bytes.set(addressBytes(facts.destination), ETHERNET_BYTES + 16);
  view.setUint16(10, complement(sum(bytes, ETHERNET_BYTES, TRANSPORT_AT)));
}

function sum(bytes: Uint8Array, start: number, end: number): number {
  let total = 0;
  for (let at = start; at < end; at += 2) total += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  return total;
}

/** The Internet checksum of a sum of 16-bit words (RFC 1071). */
function complement(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return ~folded & 0xffff;
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(":"), (part) => Number.parseInt(part, 16));
}
