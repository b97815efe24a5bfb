// One function per nf_tables expression (include/uapi/linux/netfilter/nf_tables.h), each writing
// one instruction of a rule's register program. Attribute order is nft's.

import type { NetlinkWriter } from "../netlink/attribute.ts";
import { DATA, EXPRESSION, LIST_ITEM } from "./nftables-abi.ts";
import { encodeVerdict } from "./verdict-codec.ts";

/** NFT_REJECT_*: what goes back. */
export const REJECT = { icmpUnreachable: 0, tcpReset: 1 } as const;
export const META = {
  protocol: 1,
  priority: 2,
  mark: 3,
  iif: 4,
  oif: 5,
  iifname: 6,
  iiftype: 8,
  l4proto: 16,
  pkttype: 19,
} as const;
export const CONNTRACK = { state: 0, direction: 1, status: 2, mark: 3 } as const;
export const SOCKET = { transparent: 0, mark: 1 } as const;
export const PAYLOAD_BASE = { link: 0, network: 1, transport: 2 } as const;
export const COMPARE = { equal: 0, notEqual: 1 } as const;
export const FIB_KEY = { saddr: 1, daddr: 2 } as const;
export const REMEMBER = { update: 1, delete: 2 } as const;

const VERDICT_REGISTER = 0;
const FIB_RESULT_ADDRESS_TYPE = 3;
const LOOKUP_INVERT = 1;
const NUMGEN_RANDOM = 1;
const HOST_TO_NETWORK = 1;
const NAT_DESTINATION = 1;
const OBJECT_COUNTER = 1;
const MASQUERADE_FULLY_RANDOM = 0x10;
/** nft's default. */
const LIMIT_BURST = 5;

/** A set as an expression names it: by its name, an anonymous one by its id within the batch. */
export interface SetReference {
  readonly name: string;
  readonly id?: number;
}

export function loadPayload(
  writer: NetlinkWriter,
  register: number,
  source: { readonly base: number; readonly offset: number; readonly lengthBytes: number },
): void {
  const at = begin(writer, "payload");
  writer.u32(1, register);
  writer.u32(2, source.base);
  writer.u32(3, source.offset);
  writer.u32(4, source.lengthBytes);
  end(writer, at);
}

/** Writes into the packet, without a checksum to mend. */
export function storePayload(
  writer: NetlinkWriter,
  register: number,
  target: { readonly base: number; readonly offset: number; readonly lengthBytes: number },
): void {
  const at = begin(writer, "payload");
  writer.u32(5, register);
  writer.u32(2, target.base);
  writer.u32(3, target.offset);
  writer.u32(4, target.lengthBytes);
  writer.u32(6, 0);
  writer.u32(7, 0);
  writer.u32(8, 0);
  end(writer, at);
}

export function loadMeta(writer: NetlinkWriter, register: number, key: number): void {
  const at = begin(writer, "meta");
  writer.u32(2, key);
  writer.u32(1, register);
  end(writer, at);
}

export function storeMeta(writer: NetlinkWriter, register: number, key: number): void {
  const at = begin(writer, "meta");
  writer.u32(2, key);
  writer.u32(3, register);
  end(writer, at);
}

export function loadConntrack(writer: NetlinkWriter, register: number, key: number): void {
  const at = begin(writer, "ct");
  writer.u32(2, key);
  writer.u32(1, register);
  end(writer, at);
}

export function storeConntrack(writer: NetlinkWriter, register: number, key: number): void {
  const at = begin(writer, "ct");
  writer.u32(2, key);
  writer.u32(4, register);
  end(writer, at);
}

/** A property of the socket on this node that would take the packet; ends the rule without one. */
export function loadSocket(writer: NetlinkWriter, register: number, key: number): void {
  const at = begin(writer, "socket");
  writer.u32(1, key);
  writer.u32(2, register);
  writer.u32(3, 0); // a level of cgroups, of no meaning here
  end(writer, at);
}

/** The type of an address (local, unicast, …) by the routing table. */
export function loadAddressType(writer: NetlinkWriter, register: number, key: number): void {
  const at = begin(writer, "fib");
  writer.u32(3, key);
  writer.u32(2, FIB_RESULT_ADDRESS_TYPE);
  writer.u32(1, register);
  end(writer, at);
}

/** A random number below `modulus`. */
export function loadRandom(writer: NetlinkWriter, register: number, modulus: number): void {
  const at = begin(writer, "numgen");
  writer.u32(1, register);
  writer.u32(2, modulus);
  writer.u32(3, NUMGEN_RANDOM);
  writer.u32(4, 0);
  end(writer, at);
}

/** `register = (register & mask) ^ xor` */
export function maskAndXor(
  writer: NetlinkWriter,
  register: number,
  mask: Uint8Array,
  xor: Uint8Array,
): void {
  const at = begin(writer, "bitwise");
  writer.u32(1, register);
  writer.u32(2, register);
  writer.u32(3, mask.length);
  value(writer, 4, mask);
  value(writer, 5, xor);
  end(writer, at);
}

/** Turns a 32-bit number into network order, as keys of interval sets want it. */
export function toNetworkOrder(writer: NetlinkWriter, register: number): void {
  const at = begin(writer, "byteorder");
  writer.u32(1, register);
  writer.u32(2, register);
  writer.u32(3, HOST_TO_NETWORK);
  writer.u32(4, 4);
  writer.u32(5, 4);
  end(writer, at);
}

/** Ends the rule unless the register compares so. */
export function compare(
  writer: NetlinkWriter,
  register: number,
  operator: number,
  data: Uint8Array,
): void {
  const at = begin(writer, "cmp");
  writer.u32(1, register);
  writer.u32(2, operator);
  value(writer, 3, data);
  end(writer, at);
}

export function loadConstant(writer: NetlinkWriter, register: number, data: Uint8Array): void {
  const at = begin(writer, "immediate");
  writer.u32(1, register);
  value(writer, 2, data);
  end(writer, at);
}

/** Ends the rule with a verdict, given as text. */
export function setVerdict(writer: NetlinkWriter, text: string): void {
  const at = begin(writer, "immediate");
  writer.u32(1, VERDICT_REGISTER);
  const data = writer.begin(2);
  encodeVerdict(writer, text);
  writer.end(data);
  end(writer, at);
}

/** Ends the rule unless the key is in the set (or, inverted, unless it is not). */
export function matchSet(
  writer: NetlinkWriter,
  register: number,
  set: SetReference,
  invert: boolean,
): void {
  const at = begin(writer, "lookup");
  writer.u32(2, register);
  reference(writer, set, 1, 4);
  if (invert) writer.u32(5, LOOKUP_INVERT);
  end(writer, at);
}

/** Loads what the map holds for the key; ends the rule when it holds nothing. */
export function loadFromMap(
  writer: NetlinkWriter,
  register: number,
  set: SetReference,
  target: number | "verdict",
): void {
  const at = begin(writer, "lookup");
  writer.u32(2, register);
  writer.u32(3, target === "verdict" ? VERDICT_REGISTER : target);
  reference(writer, set, 1, 4);
  end(writer, at);
}

/** Writes to a dynamic map from the packet path. */
export function rememberInMap(
  writer: NetlinkWriter,
  registers: { readonly key: number; readonly data: number },
  set: SetReference,
  action: { readonly operation: number; readonly timeoutMs: number | undefined },
): void {
  const at = begin(writer, "dynset");
  writer.u32(4, registers.key);
  writer.u32(5, registers.data);
  writer.u32(3, action.operation);
  if (action.timeoutMs !== undefined) writer.u64(6, action.timeoutMs);
  reference(writer, set, 1, 2);
  end(writer, at);
}

/** `family` is AF_INET or AF_INET6. */
export function translateDestination(
  writer: NetlinkWriter,
  family: number,
  registers: { readonly address: number; readonly port: number },
): void {
  const at = begin(writer, "nat");
  writer.u32(1, NAT_DESTINATION);
  writer.u32(2, family);
  writer.u32(3, registers.address);
  writer.u32(5, registers.port);
  end(writer, at);
}

/** Sends the frame out of the interface whose number is in the register. */
export function forwardFrame(writer: NetlinkWriter, register: number): void {
  const at = begin(writer, "fwd");
  writer.u32(1, register);
  end(writer, at);
}

/** Gives the packet to a transparent listener; `family` is AF_INET or AF_INET6. */
export function giveToListener(
  writer: NetlinkWriter,
  family: number,
  registers: { readonly address: number; readonly port: number },
): void {
  const at = begin(writer, "tproxy");
  writer.u32(1, family);
  writer.u32(2, registers.address);
  writer.u32(3, registers.port);
  end(writer, at);
}

/** Adds the packet to a named counter. */
/** Ends the rule for packets beyond so many in a second, after a burst of as many as nft allows. */
export function limitRate(writer: NetlinkWriter, perSecond: number): void {
  const at = begin(writer, "limit");
  writer.u64(1, perSecond);
  writer.u64(2, 1);
  writer.u32(3, LIMIT_BURST);
  writer.u32(4, 0);
  writer.u32(5, 0);
  end(writer, at);
}

/** Hands a copy of the packet to nfnetlink_log. */
export function logToGroup(writer: NetlinkWriter, prefix: string, group: number): void {
  const at = begin(writer, "log");
  writer.string(2, prefix);
  writer.bytes(1, Uint8Array.of(group >> 8, group));
  end(writer, at);
}

export function countInObject(writer: NetlinkWriter, name: string): void {
  const at = begin(writer, "objref");
  writer.u32(1, OBJECT_COUNTER);
  writer.string(2, name);
  end(writer, at);
}

/** Source translation to the outgoing address, with a random source port. */
export function masquerade(writer: NetlinkWriter): void {
  const at = begin(writer, "masq");
  writer.u32(1, MASQUERADE_FULLY_RANDOM);
  end(writer, at);
}

/** `code` is that of ICMP or ICMPv6 destination unreachable; 0 for a reset. */
export function reject(writer: NetlinkWriter, type: number, code: number): void {
  const at = begin(writer, "reject");
  writer.u32(1, type);
  writer.u8(2, code);
  end(writer, at);
}

interface Open {
  readonly item: number;
  readonly data: number;
}

function begin(writer: NetlinkWriter, name: string): Open {
  const item = writer.begin(LIST_ITEM);
  writer.string(EXPRESSION.name, name);
  return { item, data: writer.begin(EXPRESSION.data) };
}

function end(writer: NetlinkWriter, open: Open): void {
  writer.end(open.data);
  writer.end(open.item);
}

function value(writer: NetlinkWriter, type: number, data: Uint8Array): void {
  const at = writer.begin(type);
  writer.bytes(DATA.value, data);
  writer.end(at);
}

function reference(
  writer: NetlinkWriter,
  set: SetReference,
  nameType: number,
  idType: number,
): void {
  writer.string(nameType, set.name);
  if (set.id !== undefined) writer.u32(idType, set.id);
}
