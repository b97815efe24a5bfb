// Encodes the statements that only ask: each ends its rule unless the packet is as it says.

import assert from "node:assert/strict";
import { addressBytes } from "../ip/address.ts";
import { splitCidr } from "../ip/cidr.ts";
import type { NetlinkWriter } from "../netlink/attribute.ts";
import { addressPayload, hostU32, loadKey, REGISTER, type RuleContext } from "./encode-key.ts";
import {
  COMPARE,
  CONNTRACK,
  compare,
  FIB_KEY,
  loadAddressType,
  loadConntrack,
  loadMeta,
  loadPayload,
  loadSocket,
  maskAndXor,
  matchSet,
  META,
  PAYLOAD_BASE,
  type SetReference,
  SOCKET,
} from "./expression.ts";
import { INTERFACE_NAME_BYTES } from "./field.ts";
import type { Match } from "./match.ts";
import type { Family } from "./objects.ts";

const PROTOCOL_ICMP = { ip: 1, ip6: 58 } as const;
/** The byte of a TCP header that holds the flags, and some of them. */
const TCP_FLAGS = { offset: 13, lengthBytes: 1 } as const;
const FIN_SYN_RST_ACK = 0x17;
const SYN = 0x02;
const ETHER_TYPE = { ip: Uint8Array.of(0x08, 0x00), ip6: Uint8Array.of(0x86, 0xdd) } as const;
const ETHER_TYPE_ARP = Uint8Array.of(0x08, 0x06);
const ARPHRD_ETHER = Uint8Array.of(1, 0);
/** IEEE 802.1Q; of a tag that the kernel has taken off, it shows nft the header as it was. */
const TAG_TYPE = {
  "8021q": Uint8Array.of(0x81, 0x00),
  "8021ad": Uint8Array.of(0x88, 0xa8),
} as const;
const AFTER_ETHER_ADDRESSES = { base: PAYLOAD_BASE.link, offset: 12, lengthBytes: 2 } as const;
/** What conntrack knows of a flow, by statement: one of the bits is enough. */
const FLOW_BITS = {
  "ct-new": { key: CONNTRACK.state, bits: 0x8 },
  "ct-known": { key: CONNTRACK.state, bits: 0x2 | 0x4 }, // established, related
  "ct-dnat": { key: CONNTRACK.status, bits: 0x20 },
  "ct-snat": { key: CONNTRACK.status, bits: 0x10 },
} as const;
const CT_DIRECTION_REPLY = 1;
const ADDRESS_TYPE_LOCAL = 2;
const PROTOCOL_TCP = 6;

/** @param own the anonymous set that an `in-list` needs */
export function encodeMatch(
  writer: NetlinkWriter,
  context: RuleContext,
  statement: Match,
  own?: SetReference,
): void {
  switch (statement.kind) {
    case "in-set":
      loadKey(writer, context, statement.key, statement.set);
      return matchSet(writer, REGISTER, { name: statement.set }, statement.negate === true);
    case "in-list":
      assert(own !== undefined, "A list needs its set");
      loadKey(writer, { ...context, isInterval: () => true }, statement.key, own.name);
      return matchSet(writer, REGISTER, own, false);
    case "mark-has":
      loadMeta(writer, REGISTER, META.mark);
      return matchMask(writer, statement.mask, comparison(statement.negate));
    case "ct-new":
    case "ct-known":
    case "ct-dnat":
    case "ct-snat":
      return matchFlow(writer, FLOW_BITS[statement.kind]);
    case "ct-mark-has":
      loadConntrack(writer, REGISTER, CONNTRACK.mark);
      return matchMask(writer, statement.mask);
    case "ct-reply":
      loadConntrack(writer, REGISTER, CONNTRACK.direction);
      return compare(writer, REGISTER, COMPARE.equal, Uint8Array.of(CT_DIRECTION_REPLY));
    case "l4proto": {
      const isIcmp = statement.protocol === "icmp";
      const protocol = isIcmp ? PROTOCOL_ICMP[context.family] : PROTOCOL_TCP;
      return matchProtocol(writer, comparison(statement.negate), protocol);
    }
    case "frame-of-family":
      return matchEtherType(writer, ETHER_TYPE[context.family]);
    case "frame-of-arp":
      return matchEtherType(writer, ETHER_TYPE_ARP);
    case "frame-tagged":
      return matchTag(writer, context, TAG_TYPE[statement.tag]);
    case "icmpv6-type":
      matchProtocol(writer, COMPARE.equal, PROTOCOL_ICMP.ip6);
      loadPayload(writer, REGISTER, { base: PAYLOAD_BASE.transport, offset: 0, lengthBytes: 1 });
      return compare(writer, REGISTER, COMPARE.equal, Uint8Array.of(statement.type));
    case "tcp-dport":
      matchTcp(writer);
      loadPayload(writer, REGISTER, { base: PAYLOAD_BASE.transport, offset: 2, lengthBytes: 2 });
      return compare(writer, REGISTER, COMPARE.equal, portBytes(statement.port));
    case "tcp-not-syn":
      return matchNotSyn(writer);
    case "socket-transparent":
      loadSocket(writer, REGISTER, SOCKET.transparent);
      return compare(writer, REGISTER, COMPARE.equal, Uint8Array.of(1));
    case "socket-mark-has":
      loadSocket(writer, REGISTER, SOCKET.mark);
      return matchMask(writer, statement.mask);
    case "fib-local":
      loadAddressType(writer, REGISTER, FIB_KEY[statement.field]);
      return compare(writer, REGISTER, comparison(statement.negate), hostU32(ADDRESS_TYPE_LOCAL));
    case "iifname":
      loadMeta(writer, REGISTER, META.iifname);
      return compare(writer, REGISTER, comparison(statement.negate), namePattern(statement.name));
    case "prefix":
      return matchPrefix(writer, context.family, statement);
    default:
      return statement satisfies never;
  }
}

function matchEtherType(writer: NetlinkWriter, type: Uint8Array): void {
  loadMeta(writer, REGISTER, META.protocol);
  compare(writer, REGISTER, COMPARE.equal, type);
}

function matchTag(writer: NetlinkWriter, context: RuleContext, type: Uint8Array): void {
  matchEthernet(writer, context);
  loadPayload(writer, REGISTER, AFTER_ETHER_ADDRESSES);
  compare(writer, REGISTER, COMPARE.equal, type);
}

/** Before Ethernet's header nft asks whether the interface has one; a bridge always does. */
export function matchEthernet(writer: NetlinkWriter, { layer }: RuleContext): void {
  if (layer !== "netdev") return;
  loadMeta(writer, REGISTER, META.iiftype);
  compare(writer, REGISTER, COMPARE.equal, ARPHRD_ETHER);
}

/** `meta l4proto tcp`, which nft wants before whatever is about TCP. */
export function matchTcp(writer: NetlinkWriter): void {
  matchProtocol(writer, COMPARE.equal, PROTOCOL_TCP);
}

/** Whole bytes of a prefix are compared without a mask. */
function matchPrefix(
  writer: NetlinkWriter,
  family: Family,
  statement: Extract<Match, { kind: "prefix" }>,
): void {
  const { address, length } = splitCidr(statement.prefix);
  const bytes = addressBytes(address);
  const payload = addressPayload(family, statement.field);
  assert(bytes.length === payload.lengthBytes, `No ${family} prefix: "${statement.prefix}"`);
  const operator = comparison(statement.negate);
  if (length > 0 && length % 8 === 0) {
    const lengthBytes = length / 8;
    loadPayload(writer, REGISTER, { ...payload, lengthBytes });
    return compare(writer, REGISTER, operator, bytes.subarray(0, lengthBytes));
  }
  const mask = bytes.map((_, i) => 0xff << (8 - Math.min(8, Math.max(0, length - i * 8))));
  loadPayload(writer, REGISTER, payload);
  maskAndXor(writer, REGISTER, mask, new Uint8Array(bytes.length));
  compare(writer, REGISTER, operator, bytes);
}

function matchProtocol(writer: NetlinkWriter, operator: number, protocol: number): void {
  loadMeta(writer, REGISTER, META.l4proto);
  compare(writer, REGISTER, operator, Uint8Array.of(protocol));
}

function matchNotSyn(writer: NetlinkWriter): void {
  matchTcp(writer);
  loadPayload(writer, REGISTER, { base: PAYLOAD_BASE.transport, ...TCP_FLAGS });
  maskAndXor(writer, REGISTER, Uint8Array.of(FIN_SYN_RST_ACK), Uint8Array.of(0));
  compare(writer, REGISTER, COMPARE.notEqual, Uint8Array.of(SYN));
}

/** The register has every bit of the mask. */
function matchMask(writer: NetlinkWriter, mask: number, operator: number = COMPARE.equal): void {
  maskAndXor(writer, REGISTER, hostU32(mask), hostU32(0));
  compare(writer, REGISTER, operator, hostU32(mask));
}

function portBytes(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port);
}

function matchFlow(
  writer: NetlinkWriter,
  { key, bits }: { readonly key: number; readonly bits: number },
): void {
  loadConntrack(writer, REGISTER, key);
  maskAndXor(writer, REGISTER, hostU32(bits), hostU32(0));
  compare(writer, REGISTER, COMPARE.notEqual, hostU32(0));
}

function comparison(negate: true | undefined): number {
  return negate === true ? COMPARE.notEqual : COMPARE.equal;
}

/** A whole name compares with its padding, so that `eth1` is not `eth10`; `eth*` without. */
function namePattern(name: string): Uint8Array {
  const isPrefix = name.endsWith("*");
  const text = Buffer.from(isPrefix ? name.slice(0, -1) : name, "latin1");
  assert(text.length > 0 && text.length < INTERFACE_NAME_BYTES, `No interface name: "${name}"`);
  if (isPrefix) return text;
  const padded = new Uint8Array(INTERFACE_NAME_BYTES);
  padded.set(text);
  return padded;
}
