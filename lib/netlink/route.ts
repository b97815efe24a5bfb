// The addresses of this network namespace's interfaces, and word of every change to them.

import type { Address, AddressFamily } from "../ip/address.ts";
import { type WatchOptions, watchLevel } from "./level-watch.ts";
import {
  type AddressScope,
  decodeRouteChunk,
  encodeRouteDump,
  type RouteChunk,
} from "./route-codec.ts";
import { dumpWhole } from "./route-dump.ts";

const ADDRESS_GROUPS = 0x110; // RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR

export interface InterfaceAddress {
  readonly family: AddressFamily;
  readonly address: Address;
  readonly prefixLength: number;
  /** `#7` when the interface went away between the two questions to the kernel. */
  readonly interfaceName: string;
  readonly scope: AddressScope;
}

/**
 * Lists all addresses, also of interfaces that are down, loopback included.
 * @returns sorted by interface name, then address
 * @throws RouteError
 */
export async function listAddresses(): Promise<readonly InterfaceAddress[]> {
  const names = new Map((await chunks("links")).flatMap(({ links }) => [...links]));
  const addresses = (await chunks("addresses")).flatMap((chunk) => chunk.addresses);
  return addresses
    .map(({ interfaceIndex, ...address }) => ({
      ...address,
      interfaceName: names.get(interfaceIndex) ?? `#${interfaceIndex}`,
    }))
    .sort((a, b) => order(a.interfaceName, b.interfaceName) || order(a.address, b.address));
}

/** The distinct addresses of this host, for matching with `--nodeport-addresses`. */
export async function readHostAddresses(): Promise<readonly Address[]> {
  const addresses = await listAddresses();
  return [...new Set(addresses.map(({ address }) => address))].sort(order);
}

/** Watches addresses until the signal aborts; see `watchLevel`. */
export function watchAddresses(options: WatchOptions<readonly InterfaceAddress[]>): Promise<void> {
  return watchLevel("addresses", { groups: ADDRESS_GROUPS, read: listAddresses }, options);
}

function chunks(what: "links" | "addresses"): ReturnType<typeof dumpWhole<RouteChunk>> {
  const request = (sequence: number): Uint8Array => encodeRouteDump(what, sequence);
  return dumpWhole(what, request, decodeRouteChunk);
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
