// Ethernet frames with one whole IP packet in them (RFC 791, RFC 8200), with its checksums
// (RFC 1071).

import { type Address, addressBytes } from "./address.ts";

export interface FrameEnds {
  /** As in `02:00:00:00:00:01`. */
  readonly sourceMac: string;
  readonly destinationMac: string;
  readonly source: Address;
  /** Of the source's family. */
  readonly destination: Address;
}

/** What the packet carries. */
export interface FrameContent {
  /** One whose checksum covers the addresses, too: TCP, UDP, ICMPv6. */
  readonly protocol: number;
  readonly hops: number;
  /** With zeros for the checksum. */
  readonly bytes: Uint8Array;
  readonly checksumAt: number;
}

const ETHERNET_BYTES = 14;

/** The whole frame, which shares no bytes with the content. */
export function ipFrame(ends: FrameEnds, content: FrameContent): Uint8Array {
  const { protocol, hops, bytes, checksumAt } = content;
  const [source, destination] = [addressBytes(ends.source), addressBytes(ends.destination)];
  const isIp = source.length === 4;
  const headerBytes = isIp ? 20 : 40;
  const frame = new Uint8Array(ETHERNET_BYTES + headerBytes + bytes.length);
  frame.set(macBytes(ends.destinationMac));
  frame.set(macBytes(ends.sourceMac), 6);
  frame.set(isIp ? [0x08, 0x00] : [0x86, 0xdd], 12);
  const packet = frame.subarray(ETHERNET_BYTES);
  if (isIp) {
    packet.set([0x45, 0, ...uint16(packet.length), 0, 0, 0, 0, hops, protocol]);
    packet.set(source, 12);
    packet.set(destination, 16);
    packet.set(uint16(checksum(packet.subarray(0, headerBytes))), 10);
  } else {
    packet.set([0x60, 0, 0, 0, ...uint16(bytes.length), protocol, hops]);
    packet.set(source, 8);
    packet.set(destination, 24);
  }
  const body = packet.subarray(headerBytes);
  body.set(bytes);
  const pseudo = Uint8Array.of(0, protocol, ...uint16(bytes.length));
  body.set(uint16(checksum(source, destination, pseudo, body)), checksumAt);
  return frame;
}

/** Of a MAC address as in `02:00:00:00:00:01`. */
export function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(":"), (byte) => Number.parseInt(byte, 16));
}

/** In network order. */
export function uint16(value: number): readonly [number, number] {
  return [value >>> 8, value & 0xff];
}

/** Of parts one after the other; only the last may be of odd length. */
function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += ((part[i] ?? 0) << 8) | (part[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
