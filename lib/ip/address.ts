// IP addresses as canonical text (RFC 5952), the one form that the whole project compares.

import { isIPv4, isIPv6 } from "node:net";

/** An address in canonical text. Only `parseAddress` and `formatAddress` make one. */
export type Address = string;
export type AddressFamily = "ip" | "ip6";

/**
 * Reads an address strictly: no leading zeros, no zone, no IPv4-mapped IPv6 (an IPv4 address in
 * disguise would slip past every filter that looks at the family).
 * @returns canonical text, or undefined when it is not an address
 */
export function parseAddress(text: unknown): Address | undefined {
  if (typeof text !== "string") return undefined;
  if (isIPv4(text)) return text;
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const bytes = ipv6Bytes(text);
  const mapped =
    bytes.subarray(0, 10).every((b) => b === 0) && bytes[10] === 255 && bytes[11] === 255;
  return mapped ? undefined : formatAddress(bytes);
}

/** The nft family of a canonical address. */
export function familyOf(address: Address): AddressFamily {
  return address.includes(":") ? "ip6" : "ip";
}

/** Network-order bytes of a canonical address: 4 or 16. */
export function addressBytes(address: Address): Uint8Array {
  return address.includes(":") ? ipv6Bytes(address) : ipv4Bytes(address);
}

/** Canonical text of 4 or 16 network-order bytes. */
export function formatAddress(bytes: Uint8Array): Address {
  if (bytes.length === 4) return bytes.join(".");
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  const { start, length } = longestZeroRun(groups);
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(":");
  return length < 2 ? hex(0, 8) : `${hex(0, start)}::${hex(start + length, 8)}`;
}

/** True for what no Service or endpoint may use: unspecified, loopback, link-local, multicast. */
export function isReservedAddress(address: Address): boolean {
  const bytes = addressBytes(address);
  const first = bytes[0] ?? 0;
  if (bytes.length === 4) {
    return first === 0 || first === 127 || first >= 224 || (first === 169 && bytes[1] === 254);
  }
  if (first === 0xff || (first === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80)) return true;
  return bytes.subarray(0, 15).every((b) => b === 0) && (bytes[15] ?? 0) <= 1;
}

function ipv4Bytes(address: string): Uint8Array {
  const bytes = new Uint8Array(4);
  let index = 0;
  let value = 0;
  for (let i = 0; i < address.length; i++) {
    const code = address.charCodeAt(i);
    if (code === 46) {
      bytes[index++] = value;
      value = 0;
    } else {
      value = value * 10 + code - 48;
    }
  }
  bytes[index] = value;
  return bytes;
}

function ipv6Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const [head = "", tail] = text.split("::", 2);
  const front = groupsOf(head);
  const back = tail === undefined ? [] : groupsOf(tail);
  front.forEach((group, i) => writeGroup(bytes, i, group));
  back.forEach((group, i) => writeGroup(bytes, 8 - back.length + i, group));
  return bytes;
}

function groupsOf(part: string): number[] {
  if (part === "") return [];
  return part.split(":").flatMap((piece) => {
    if (!piece.includes(".")) return [Number.parseInt(piece, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = ipv4Bytes(piece);
    return [(a << 8) | b, (c << 8) | d];
  });
}

function writeGroup(bytes: Uint8Array, index: number, group: number): void {
  bytes[index * 2] = group >> 8;
  bytes[index * 2 + 1] = group & 255;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i <= groups.length; i++) {
    if (groups[i] === 0) continue;
    if (i - start > best.length) best = { start, length: i - start };
    start = i + 1;
  }
  return best;
}
