// nfnetlink_log (include/uapi/linux/netfilter/nfnetlink_log.h): how a group is joined, and what the
// kernel then says of packets that a rule logs to it. Pure; decoders are total.

import { formatAddress } from "../ip/address.ts";
import { findAttribute, NetlinkWriter, readString } from "./attribute.ts";
import {
  beginMessage,
  endMessage,
  type Message,
  NFNETLINK_HEADER_BYTES,
  NLM_F_ACK,
} from "./message.ts";

/** Of one logged packet, as far as its first bytes say. */
export interface LoggedPacket {
  /** The rule's own word. */
  readonly prefix: string;
  readonly source: string;
  readonly destination: string;
  /** IP protocol number. */
  readonly protocol: number;
  /** 0 for protocols without ports, and for later fragments. */
  readonly sourcePort: number;
  readonly destinationPort: number;
}

const NFULNL_MSG_PACKET = 0x0400;
const NFULNL_MSG_CONFIG = 0x0401;
const NFULA_CFG_CMD = 1;
const NFULA_CFG_MODE = 2;
const NFULNL_CFG_CMD_BIND = 1;
const NFULNL_COPY_PACKET = 2;
const NFULA_PAYLOAD = 9;
const NFULA_PREFIX = 10;
/** Enough for IPv6, some extension headers and ports. */
const COPIED_BYTES = 128;
const REQUEST_BYTES = 64;

/** Asks for the packets of a group; the kernel answers with an errno: EPERM where it is taken. */
export function encodeLogBind(group: number, sequence: number): Uint8Array<ArrayBuffer> {
  return encodeConfig(group, sequence, (writer) => {
    writer.bytes(NFULA_CFG_CMD, Uint8Array.of(NFULNL_CFG_CMD_BIND));
  });
}

/** Asks for the first bytes of each packet. */
export function encodeLogMode(group: number, sequence: number): Uint8Array<ArrayBuffer> {
  return encodeConfig(group, sequence, (writer) => {
    writer.bytes(NFULA_CFG_MODE, Uint8Array.of(0, 0, 0, COPIED_BYTES, NFULNL_COPY_PACKET, 0));
  });
}

/** Undefined for what is no packet of IP. Never throws. */
export function decodeLoggedPacket(message: Message): LoggedPacket | undefined {
  if (message.kind !== "data" || message.type !== NFULNL_MSG_PACKET) return undefined;
  const attributes = message.payload.subarray(NFNETLINK_HEADER_BYTES);
  const payload = findAttribute(attributes, NFULA_PAYLOAD);
  const prefix = readString(findAttribute(attributes, NFULA_PREFIX)) ?? "";
  const packet = payload && decodePacket(payload);
  return packet && { prefix, ...packet };
}

const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const FRAGMENT_OFFSET = 0x1fff;
/** Hop-by-hop, routing and destination options: each says its own length. */
const OPTIONS = new Set([0, 43, 60]);
const FRAGMENT = 44;
/** TCP, UDP, DCCP, SCTP: ports stand first. */
const WITH_PORTS = new Set([6, 17, 33, 132]);

function decodePacket(bytes: Uint8Array): Omit<LoggedPacket, "prefix"> | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = (bytes[0] ?? 0) >> 4;
  if (version === 4 && bytes.length >= IPV4_BYTES) return decodeIpv4(bytes, view);
  return version === 6 && bytes.length >= IPV6_BYTES ? decodeIpv6(bytes, view) : undefined;
}

function decodeIpv4(bytes: Uint8Array, view: DataView): Omit<LoggedPacket, "prefix"> {
  const isFirst = (view.getUint16(6) & FRAGMENT_OFFSET) === 0;
  const protocol = view.getUint8(9);
  return {
    source: formatAddress(bytes.subarray(12, 16)),
    destination: formatAddress(bytes.subarray(16, 20)),
    protocol,
    ...portsAt(view, isFirst ? (view.getUint8(0) & 0xf) * 4 : bytes.length, protocol),
  };
}

function decodeIpv6(bytes: Uint8Array, view: DataView): Omit<LoggedPacket, "prefix"> {
  let protocol = view.getUint8(6);
  let at = IPV6_BYTES;
  while (at + 8 <= bytes.length && (OPTIONS.has(protocol) || protocol === FRAGMENT)) {
    const isFragment = protocol === FRAGMENT;
    protocol = view.getUint8(at);
    // The offset of a fragment is the upper 13 bits.
    if (isFragment && view.getUint16(at + 2) >> 3 !== 0) at = bytes.length;
    else at += isFragment ? 8 : (view.getUint8(at + 1) + 1) * 8;
  }
  return {
    source: formatAddress(bytes.subarray(8, 24)),
    destination: formatAddress(bytes.subarray(24, 40)),
    protocol,
    ...portsAt(view, at, protocol),
  };
}

function portsAt(
  view: DataView,
  at: number,
  protocol: number,
): Pick<LoggedPacket, "sourcePort" | "destinationPort"> {
  if (!WITH_PORTS.has(protocol) || at + 4 > view.byteLength) {
    return { sourcePort: 0, destinationPort: 0 };
  }
  return { sourcePort: view.getUint16(at), destinationPort: view.getUint16(at + 2) };
}

function encodeConfig(
  group: number,
  sequence: number,
  body: (writer: NetlinkWriter) => void,
): Uint8Array<ArrayBuffer> {
  const writer = new NetlinkWriter(REQUEST_BYTES);
  const head = { type: NFULNL_MSG_CONFIG, flags: NLM_F_ACK, sequence, family: 0 };
  const message = beginMessage(writer, { ...head, resourceId: group });
  body(writer);
  endMessage(writer, message);
  return writer.finish();
}
