// Where the routes of this network namespace lead for single hosts, and which addresses a link has
// in another namespace: how to find the link that a pod is behind. Decoders are total.

import { type Address, formatAddress } from "../ip/address.ts";
import { attributeAt, type DumpProgress, readMessages } from "./dump-reader.ts";
import { NLM_F_DUMP, NLM_F_REQUEST } from "./message.ts";
import { dumpWhole } from "./route-dump.ts";

/** Numbers of include/uapi/linux/rtnetlink.h and if_addr.h */
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTN_UNICAST = 1;
const RTM_F_CLONED = 0x200;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_TARGET_NETNSID = 10;
const FAMILY_NUMBERS = [2, 10] as const;
const HEADER_BYTES = 16;
const ROUTE_BYTES = 12; // struct rtmsg
const ADDRESS_BYTES = 8; // struct ifaddrmsg
const ATTRIBUTE_BYTES = 8;

/** RTMGRP_* bits: IPv4 and IPv6 routes. */
export const ROUTE_GROUPS = 0x440;

export interface HostRoute {
  readonly address: Address;
  /** The link that packets to it leave by. */
  readonly link: number;
}

interface Chunk<T> extends DumpProgress {
  readonly found: readonly T[];
}

/** Lists the routes to single addresses, of every table and both families. @throws RouteError */
export async function listHostRoutes(): Promise<readonly HostRoute[]> {
  const routes: HostRoute[] = [];
  for (const family of FAMILY_NUMBERS) {
    const request = (sequence: number): Uint8Array => encodeRoutes(family, sequence);
    const chunks = await dumpWhole("routes", request, decodeHostRoutes);
    routes.push(...chunks.flatMap(({ found }) => found));
  }
  return routes;
}

/** An address of a link in another namespace. */
export interface FarAddress {
  readonly address: Address;
  /** The link's number there. */
  readonly link: number;
}

/**
 * Lists the addresses of another network namespace.
 * @param namespace its number here, as links that lead there tell it; Linux 4.20 or later
 * @throws RouteError when it is gone, among others
 */
export async function listFarAddresses(namespace: number): Promise<readonly FarAddress[]> {
  const request = (sequence: number): Uint8Array => encodeAddresses(namespace, sequence);
  const chunks = await dumpWhole("addresses of a namespace", request, decodeFarAddresses, {
    isStrict: true,
  });
  return chunks.flatMap(({ found }) => found);
}

/** Reads one part of the answer to a dump of routes. Never throws. */
export function decodeHostRoutes(bytes: Uint8Array, sequence: number): Chunk<HostRoute> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: HostRoute[] = [];
  const progress = readMessages(view, sequence, (type, { start, end }) => {
    if (type !== RTM_NEWROUTE) return true;
    if (start + ROUTE_BYTES > end) return false;
    const lengthBytes = lengthOf(view.getUint8(start));
    const isCached = (view.getUint32(start + 8, true) & RTM_F_CLONED) !== 0;
    const isHost = view.getUint8(start + 1) === lengthBytes * 8;
    if (!isHost || isCached || view.getUint8(start + 7) !== RTN_UNICAST) return true;
    const attributes = { start: start + ROUTE_BYTES, end };
    const to = attributeAt(view, attributes, RTA_DST, lengthBytes);
    const out = attributeAt(view, attributes, RTA_OIF, 4);
    if (to < 0 || out < 0) return true;
    const address = formatAddress(new Uint8Array(view.buffer, view.byteOffset + to, lengthBytes));
    found.push({ address, link: view.getInt32(out, true) });
    return true;
  });
  return { found, ...progress };
}

/** Reads one part of the answer to a dump of addresses. Never throws. */
export function decodeFarAddresses(bytes: Uint8Array, sequence: number): Chunk<FarAddress> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: FarAddress[] = [];
  const progress = readMessages(view, sequence, (type, { start, end }) => {
    if (type !== RTM_NEWADDR) return true;
    if (start + ADDRESS_BYTES > end) return false;
    const lengthBytes = lengthOf(view.getUint8(start));
    const attributes = { start: start + ADDRESS_BYTES, end };
    const local = attributeAt(view, attributes, IFA_LOCAL, lengthBytes);
    const at = local >= 0 ? local : attributeAt(view, attributes, IFA_ADDRESS, lengthBytes);
    if (at < 0) return false;
    const address = formatAddress(new Uint8Array(view.buffer, view.byteOffset + at, lengthBytes));
    found.push({ address, link: view.getInt32(start + 4, true) });
    return true;
  });
  return { found, ...progress };
}

function lengthOf(family: number): 4 | 16 {
  return family === FAMILY_NUMBERS[0] ? 4 : 16;
}

function encodeRoutes(family: number, sequence: number): Uint8Array {
  const view = request(RTM_GETROUTE, HEADER_BYTES + ROUTE_BYTES, sequence);
  view.setUint8(HEADER_BYTES, family);
  return new Uint8Array(view.buffer);
}

function encodeAddresses(namespace: number, sequence: number): Uint8Array {
  const view = request(RTM_GETADDR, HEADER_BYTES + ADDRESS_BYTES + ATTRIBUTE_BYTES, sequence);
  const attribute = HEADER_BYTES + ADDRESS_BYTES;
  view.setUint16(attribute, ATTRIBUTE_BYTES, true);
  view.setUint16(attribute + 2, IFA_TARGET_NETNSID, true);
  view.setInt32(attribute + 4, namespace, true);
  return new Uint8Array(view.buffer);
}

function request(type: number, lengthBytes: number, sequence: number): DataView<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(lengthBytes));
  view.setUint32(0, lengthBytes, true);
  view.setUint16(4, type, true);
  view.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, true);
  view.setUint32(8, sequence, true);
  return view;
}
