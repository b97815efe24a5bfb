// Encodes ctnetlink requests. Pure.

import { type AddressFamily, addressBytes } from "../ip/address.ts";
import { NetlinkWriter } from "./attribute.ts";
import * as cta from "./conntrack-codec.ts";
import type { ConntrackEntry, ConntrackTuple } from "./conntrack-entry.ts";
import type { FlowSelection } from "./conntrack-table.ts";
import {
  beginMessage,
  endMessage,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
} from "./message.ts";

const IPCTNL_MSG_CT_GET = 0x0101;
const IPCTNL_MSG_CT_DELETE = 0x0102;
const IPCTNL_MSG_CT_GET_STATS = 0x0105;
const CTA_TIMEOUT = 7;
const CTA_MARK = 8;
const CTA_MARK_MASK = 21;
const CTA_FILTER = 25;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
const IPS_CONFIRMED = 0x08;
/** CTA_FILTER's flags follow an order of the kernel's own (nf_internals.h). */
const FILTER_PROTOCOL = 1 << 3;
const REQUEST_BYTES = 256;

/**
 * Asks for every entry of one family and protocol that has none of the mark's bits. A kernel before
 * 5.8 knows no filter for protocols and returns every one, so the receiver filters again.
 */
export function encodeConntrackDump(
  family: AddressFamily,
  { protocol, unmarked }: Required<FlowSelection>,
  sequence: number,
): Uint8Array<ArrayBuffer> {
  return encode(IPCTNL_MSG_CT_GET, { family, flags: NLM_F_DUMP, sequence }, (writer) => {
    const tuple = writer.begin(cta.CTA_TUPLE_ORIG);
    const protocols = writer.begin(cta.CTA_TUPLE_PROTO);
    writer.u8(cta.CTA_PROTO_NUM, protocol);
    writer.end(protocols);
    writer.end(tuple);
    if (unmarked !== 0) {
      writer.u32(CTA_MARK, 0);
      writer.u32(CTA_MARK_MASK, unmarked);
    }
    const filter = writer.begin(CTA_FILTER);
    hostU32(writer, CTA_FILTER_ORIG_FLAGS, FILTER_PROTOCOL);
    hostU32(writer, CTA_FILTER_REPLY_FLAGS, 0);
    writer.end(filter);
  });
}

/**
 * Deletes this flow; the kernel answers with an errno. The flow is named by its reply tuple, which
 * holds the endpoint: a later flow on the same original tuple that was translated to another
 * endpoint is not met. The id alone does not tell them apart (seen on kernel 6.18: it follows the
 * address in memory, which is used again).
 */
export function encodeConntrackDelete(
  entry: ConntrackEntry,
  sequence: number,
): Uint8Array<ArrayBuffer> {
  const head = { family: entry.family, flags: NLM_F_ACK, sequence };
  return encode(IPCTNL_MSG_CT_DELETE, head, (writer) => {
    writeTuple(writer, cta.CTA_TUPLE_REPLY, entry.protocol, entry.reply);
    writeZone(writer, entry.replyZone);
    writer.u32(cta.CTA_ID, entry.id);
  });
}

/** Asks for the statistics of the whole table, the number of its flows among them. */
export function encodeConntrackStatistics(sequence: number): Uint8Array<ArrayBuffer> {
  return encode(IPCTNL_MSG_CT_GET_STATS, { family: "ip", flags: 0, sequence }, () => {});
}

/** Creates an entry, for tests that need a full table; the kernel answers with an errno. */
export function encodeConntrackCreate(
  entry: Omit<ConntrackEntry, "id">,
  timeoutSeconds: number,
  sequence: number,
): Uint8Array<ArrayBuffer> {
  const flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  return encode(cta.IPCTNL_MSG_CT_NEW, { family: entry.family, flags, sequence }, (writer) => {
    writeTuple(writer, cta.CTA_TUPLE_ORIG, entry.protocol, entry.original);
    writeTuple(writer, cta.CTA_TUPLE_REPLY, entry.protocol, entry.reply);
    writeZone(writer, entry.zone);
    writer.u32(cta.CTA_STATUS, IPS_CONFIRMED);
    writer.u32(CTA_TIMEOUT, timeoutSeconds);
  });
}

interface Head {
  readonly family: AddressFamily;
  readonly flags: number;
  readonly sequence: number;
}

function encode(
  type: number,
  head: Head,
  body: (writer: NetlinkWriter) => void,
): Uint8Array<ArrayBuffer> {
  const writer = new NetlinkWriter(REQUEST_BYTES);
  const message = beginMessage(writer, { ...head, type, family: head.family === "ip" ? 2 : 10 });
  body(writer);
  endMessage(writer, message);
  return writer.finish();
}

function writeTuple(
  writer: NetlinkWriter,
  type: number,
  protocol: number,
  tuple: ConntrackTuple,
): void {
  const source = addressBytes(tuple.source);
  const first = source.length === 4 ? cta.CTA_IP_V4_SRC : cta.CTA_IP_V6_SRC;
  const whole = writer.begin(type);
  const addresses = writer.begin(cta.CTA_TUPLE_IP);
  writer.bytes(first, source);
  writer.bytes(first + 1, addressBytes(tuple.destination));
  writer.end(addresses);
  const ports = writer.begin(cta.CTA_TUPLE_PROTO);
  writer.u8(cta.CTA_PROTO_NUM, protocol);
  networkU16(writer, cta.CTA_PROTO_SRC_PORT, tuple.sourcePort);
  networkU16(writer, cta.CTA_PROTO_DST_PORT, tuple.destinationPort);
  writer.end(ports);
  writer.end(whole);
}

function writeZone(writer: NetlinkWriter, zone: number): void {
  if (zone !== 0) networkU16(writer, cta.CTA_ZONE, zone);
}

function networkU16(writer: NetlinkWriter, type: number, value: number): void {
  writer.bytes(type, Uint8Array.of(value >> 8, value & 0xff));
}

function hostU32(writer: NetlinkWriter, type: number, value: number): void {
  writer.setUint32(writer.reserve(type, 4), value);
}
