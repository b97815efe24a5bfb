// `struct sockaddr_in` and `sockaddr_in6` from and to an address and a port. Pure.

import { type Address, addressBytes, familyOf, formatAddress } from "../ip/address.ts";
import { AF_INET, AF_INET6 } from "../sys/ffi.ts";

export interface SocketAddress {
  readonly address: Address;
  readonly port: number;
}

/** Room for either family. */
export const SOCKET_ADDRESS_BYTES = 28;

export function domainOf(address: Address): number {
  return familyOf(address) === "ip" ? AF_INET : AF_INET6;
}

export function encodeSocketAddress(address: Address, port: number): Uint8Array {
  const bytes = addressBytes(address);
  const isV4 = bytes.length === 4;
  const encoded = new Uint8Array(isV4 ? 16 : SOCKET_ADDRESS_BYTES);
  encoded[0] = isV4 ? AF_INET : AF_INET6; // little-endian machines only, as Node is
  encoded[2] = port >> 8;
  encoded[3] = port & 255;
  encoded.set(bytes, isV4 ? 4 : 8);
  return encoded;
}

/** @param encoded as the kernel wrote it */
export function decodeSocketAddress(encoded: Uint8Array): SocketAddress {
  const isV4 = encoded[0] === AF_INET;
  const port = ((encoded[2] ?? 0) << 8) | (encoded[3] ?? 0);
  if (!isV4) return { address: formatAddress(encoded.subarray(8, 24)), port };
  const address = `${encoded[4]}.${encoded[5]}.${encoded[6]}.${encoded[7]}`;
  return { address, port };
}
