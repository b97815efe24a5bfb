// Prefixes as canonical text `address/length`, host bits cleared.

import { type Address, addressBytes, formatAddress, parseAddress } from "./address.ts";

/** A prefix in canonical text. Only `parseCidr` makes one. */
export type Cidr = string;

/** Reads a prefix strictly and clears its host bits; undefined when it is none. */
export function parseCidr(text: unknown): Cidr | undefined {
  if (typeof text !== "string") return undefined;
  const slash = text.indexOf("/");
  if (slash < 0) return undefined;
  const address = parseAddress(text.slice(0, slash));
  const suffix = text.slice(slash + 1);
  if (address === undefined || !/^(0|[1-9]\d{0,2})$/.test(suffix)) return undefined;
  const bytes = addressBytes(address);
  const length = Number(suffix);
  if (length > bytes.length * 8) return undefined;
  return `${formatAddress(maskBytes(bytes, length))}/${length}`;
}

/** The whole-length prefix of one address. */
export function hostCidr(address: Address): Cidr {
  return `${address}/${address.includes(":") ? 128 : 32}`;
}

/** Splits canonical text; the length is in bits. */
export function splitCidr(cidr: Cidr): { readonly address: Address; readonly length: number } {
  const slash = cidr.indexOf("/");
  return { address: cidr.slice(0, slash), length: Number(cidr.slice(slash + 1)) };
}

/** True when the address lies in the prefix; false across families. */
export function cidrContains(cidr: Cidr, address: Address): boolean {
  const prefix = splitCidr(cidr);
  const network = addressBytes(prefix.address);
  const bytes = addressBytes(address);
  if (network.length !== bytes.length) return false;
  return maskBytes(bytes, prefix.length).every((byte, i) => byte === network[i]);
}

/**
 * Drops prefixes that another of the list contains; nf_tables refuses overlapping intervals, and
 * one refused element fails its whole batch. Adjacent prefixes stay apart.
 * @returns canonical prefixes, shorter first, then by text
 */
export function mergeCidrs(cidrs: readonly Cidr[]): Cidr[] {
  const sorted = [...new Set(cidrs)].sort((a, b) => {
    const byLength = splitCidr(a).length - splitCidr(b).length;
    return byLength === 0 ? (a < b ? -1 : 1) : byLength;
  });
  const kept: Cidr[] = [];
  for (const cidr of sorted) {
    const { address } = splitCidr(cidr);
    if (!kept.some((wider) => cidrContains(wider, address))) kept.push(cidr);
  }
  return kept;
}

function maskBytes(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.map((byte, i) => {
    const bits = Math.min(8, Math.max(0, length - i * 8));
    return byte & (0xff << (8 - bits));
  });
}
