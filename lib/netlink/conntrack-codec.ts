// Decodes what a ctnetlink dump returns. Pure and total. What describes packets (addresses,
// ports) and conntrack's own numbers are in network order.

import { type Address, type AddressFamily, formatAddress } from "../ip/address.ts";
import type { ConntrackEntry, ConntrackTuple } from "./conntrack-entry.ts";
import {
  attributeAt,
  attributeRange,
  type DumpProgress,
  type Range,
  readMessages,
} from "./dump-reader.ts";

/** Numbers of include/uapi/linux/netfilter/nfnetlink_conntrack.h */
export const IPCTNL_MSG_CT_NEW = 0x0100;
export const CTA_TUPLE_ORIG = 1;
export const CTA_TUPLE_REPLY = 2;
export const CTA_STATUS = 3;
export const CTA_ID = 12;
export const CTA_ZONE = 18;
export const CTA_TUPLE_IP = 1;
export const CTA_TUPLE_PROTO = 2;
export const CTA_IP_V4_SRC = 1; // the destination's number follows
export const CTA_IP_V6_SRC = 3;
export const CTA_PROTO_NUM = 1;
export const CTA_PROTO_SRC_PORT = 2;
export const CTA_PROTO_DST_PORT = 3;
const CTA_TUPLE_ZONE = 3;
const CTA_STATS_ENTRIES = 1; // CTA_STATS_GLOBAL_ENTRIES

const NFGEN_BYTES = 4;
const AF_INET = 2;
const AF_INET6 = 10;

/** What one read from a dumping socket held. */
export interface ConntrackChunk extends DumpProgress {
  readonly entries: readonly ConntrackEntry[];
}

/** Reads what one receive returned for the request of that sequence number. Never throws. */
export function decodeConntrackChunk(bytes: Uint8Array, sequence: number): ConntrackChunk {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: ConntrackEntry[] = [];
  const progress = readMessages(view, sequence, (type, payload) => {
    const entry = type === IPCTNL_MSG_CT_NEW ? decodeEntry(view, payload) : undefined;
    if (entry !== undefined) entries.push(entry);
    return entry !== undefined;
  });
  return { entries, ...progress };
}

/**
 * Reads how many flows the table holds from a statistics answer, netlink header cut off.
 * @returns undefined when it does not say
 */
export function decodeConntrackCount(payload: Uint8Array): number | undefined {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const at = attributeAt(view, { start: NFGEN_BYTES, end: view.byteLength }, CTA_STATS_ENTRIES, 4);
  return at < 0 ? undefined : view.getUint32(at);
}

function decodeEntry(view: DataView, payload: Range): ConntrackEntry | undefined {
  if (payload.start + NFGEN_BYTES > payload.end) return undefined;
  const family = familyOf(view.getUint8(payload.start));
  const attributes = { start: payload.start + NFGEN_BYTES, end: payload.end };
  const original = attributeRange(view, attributes, CTA_TUPLE_ORIG);
  const reply = attributeRange(view, attributes, CTA_TUPLE_REPLY);
  if (family === undefined || original === undefined || reply === undefined) return undefined;
  const protocol = protocolOf(view, original);
  const originalTuple = decodeTuple(view, original, family);
  const replyTuple = decodeTuple(view, reply, family);
  if (protocol === undefined || originalTuple === undefined || replyTuple === undefined) {
    return undefined;
  }
  const zone = u16(view, attributes, CTA_ZONE); // when both directions share one
  return {
    family,
    protocol,
    original: originalTuple,
    reply: replyTuple,
    zone: zone || u16(view, original, CTA_TUPLE_ZONE),
    replyZone: zone || u16(view, reply, CTA_TUPLE_ZONE),
    status: u32(view, attributes, CTA_STATUS),
    id: u32(view, attributes, CTA_ID),
  };
}

function decodeTuple(
  view: DataView,
  tuple: Range,
  family: AddressFamily,
): ConntrackTuple | undefined {
  const addresses = attributeRange(view, tuple, CTA_TUPLE_IP);
  const ports = attributeRange(view, tuple, CTA_TUPLE_PROTO);
  if (addresses === undefined || ports === undefined) return undefined;
  const length = family === "ip" ? 4 : 16;
  const first = family === "ip" ? CTA_IP_V4_SRC : CTA_IP_V6_SRC;
  const source = attributeAt(view, addresses, first, length);
  const destination = attributeAt(view, addresses, first + 1, length);
  if (source < 0 || destination < 0) return undefined;
  return {
    source: addressAt(view, source, length),
    destination: addressAt(view, destination, length),
    sourcePort: u16(view, ports, CTA_PROTO_SRC_PORT),
    destinationPort: u16(view, ports, CTA_PROTO_DST_PORT),
  };
}

function protocolOf(view: DataView, tuple: Range): number | undefined {
  const range = attributeRange(view, tuple, CTA_TUPLE_PROTO);
  const at = range === undefined ? -1 : attributeAt(view, range, CTA_PROTO_NUM, 1);
  return at < 0 ? undefined : view.getUint8(at);
}

function familyOf(number: number): AddressFamily | undefined {
  return number === AF_INET ? "ip" : number === AF_INET6 ? "ip6" : undefined;
}

/** 0 when absent: the default zone is not written, and some protocols have no ports. */
function u16(view: DataView, range: Range, type: number): number {
  const at = attributeAt(view, range, type, 2);
  return at < 0 ? 0 : view.getUint16(at);
}

function u32(view: DataView, range: Range, type: number): number {
  const at = attributeAt(view, range, type, 4);
  return at < 0 ? 0 : view.getUint32(at);
}

function addressAt(view: DataView, at: number, length: number): Address {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, length);
  if (length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  return formatAddress(bytes);
}
