// Encodes rules as nf_tables register programs. nft prints a program back only when it is one that
// nft could have made (else `nft list` aborts), so registers and order follow nft 1.0.6.

import assert from "node:assert/strict";
import { addressBytes } from "../ip/address.ts";
import { splitCidr } from "../ip/cidr.ts";
import type { NetlinkWriter } from "../netlink/attribute.ts";
import {
  COMPARE,
  CONNTRACK,
  compare,
  FIB_KEY,
  forwardFrame,
  giveToListener,
  loadAddressType,
  loadConntrack,
  loadConstant,
  loadFromMap,
  loadMeta,
  loadPayload,
  loadSocket,
  masquerade,
  maskAndXor,
  matchSet,
  META,
  PAYLOAD_BASE,
  REJECT,
  REMEMBER,
  reject,
  rememberInMap,
  type SetReference,
  SOCKET,
  setVerdict,
  storeConntrack,
  storeMeta,
  storePayload,
  translateDestination,
} from "./expression.ts";
import {
  addressPayload,
  hostU32,
  loadKey,
  REGISTER,
  type RuleContext,
  registerAt,
} from "./encode-key.ts";
import { fieldSpaceBytes, INTERFACE_NAME_BYTES } from "./field.ts";
import { FAMILY_NUMBER } from "./nftables-abi.ts";
import type { Family, Operand, Rule, Statement } from "./objects.ts";
import { formatVerdict } from "./text.ts";

const PROTOCOL_TCP = 6;
const PROTOCOL_ICMP = { ip: 1, ip6: 58 } as const;
const LOOPBACK = { ip: "127.0.0.1", ip6: "::1" } as const;
/** The byte of a TCP header that holds the flags, and some of them. */
const TCP_FLAGS = { offset: 13, lengthBytes: 1 } as const;
const FIN_SYN_RST_ACK = 0x17;
const SYN = 0x02;
const LAST_REGISTER = 23;
const ETHER_TYPE = { ip: Uint8Array.of(0x08, 0x00), ip6: Uint8Array.of(0x86, 0xdd) } as const;
const ETHER_DESTINATION = { base: PAYLOAD_BASE.link, offset: 0, lengthBytes: 6 } as const;
const ARPHRD_ETHER = Uint8Array.of(1, 0);
const PACKET_HOST = 0;
const CT_STATE_NEW = 0x8;
const CT_STATUS_DNAT = 0x20;
const CT_DIRECTION_REPLY = 1;
const ADDRESS_TYPE_LOCAL = 2;
const ICMP_PORT_UNREACHABLE = { ip: 3, ip6: 4 } as const;

/**
 * Encodes the expressions of a rule.
 * @param guards one anonymous set `{ tcp, udp, sctp }` for each `dnat` statement, in order
 */
export function encodeRule(
  writer: NetlinkWriter,
  context: RuleContext,
  rule: Rule,
  guards: readonly SetReference[],
): void {
  const remaining = [...guards];
  for (const statement of rule) {
    if (statement.kind === "dnat") {
      const guard = remaining.shift();
      assert(guard !== undefined, "A dnat statement needs its protocol set");
      loadMeta(writer, REGISTER, META.l4proto);
      matchSet(writer, REGISTER, guard, false);
    }
    encodeStatement(writer, context, statement);
  }
}

function encodeStatement(writer: NetlinkWriter, context: RuleContext, statement: Statement): void {
  switch (statement.kind) {
    case "in-set":
      loadKey(writer, context, statement.key, statement.set);
      return matchSet(writer, REGISTER, { name: statement.set }, statement.negate === true);
    case "mark-has":
      loadMeta(writer, REGISTER, META.mark);
      return matchMask(writer, statement.mask);
    case "ct-new":
      loadConntrack(writer, REGISTER, CONNTRACK.state);
      return matchBit(writer, CT_STATE_NEW);
    case "ct-dnat":
      loadConntrack(writer, REGISTER, CONNTRACK.status);
      return matchBit(writer, CT_STATUS_DNAT);
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
      loadMeta(writer, REGISTER, META.protocol);
      return compare(writer, REGISTER, COMPARE.equal, ETHER_TYPE[context.family]);
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
    case "set-mark":
      return changeMeta(writer, META.mark, statement.operator, statement.mask);
    case "set-ct-mark":
      loadConntrack(writer, REGISTER, CONNTRACK.mark);
      changeRegister(writer, "|", statement.mask);
      return storeConntrack(writer, REGISTER, CONNTRACK.mark);
    case "set-priority":
      loadKey(writer, context, statement.key, statement.map);
      loadFromMap(writer, REGISTER, { name: statement.map }, REGISTER);
      return storeMeta(writer, REGISTER, META.priority);
    case "mask-priority":
      return changeMeta(writer, META.priority, "&", statement.mask);
    case "clear-priority":
      loadConstant(writer, REGISTER, hostU32(0));
      return storeMeta(writer, REGISTER, META.priority);
    case "vmap":
      loadKey(writer, context, statement.key, statement.map);
      return loadFromMap(writer, REGISTER, { name: statement.map }, "verdict");
    case "dnat":
      return encodeDnat(writer, context, statement.key, statement.map);
    case "tproxy":
      return encodeTproxy(writer, context, statement.port);
    case "set-ether-daddr":
      return encodeEtherDestination(writer, context, statement.address);
    case "set-pkttype-host":
      loadConstant(writer, REGISTER, Uint8Array.of(PACKET_HOST));
      return storeMeta(writer, REGISTER, META.pkttype);
    case "forward-to":
      loadConstant(writer, REGISTER, hostU32(statement.index));
      return forwardFrame(writer, REGISTER);
    case "masquerade":
      return masquerade(writer);
    case "reject":
      return reject(writer, REJECT.icmpUnreachable, ICMP_PORT_UNREACHABLE[context.family]);
    case "reset-tcp":
      matchProtocol(writer, COMPARE.equal, PROTOCOL_TCP);
      return reject(writer, REJECT.tcpReset, 0);
    case "remember":
      return encodeRemember(writer, context, statement);
    case "verdict":
      return setVerdict(writer, formatVerdict(statement.verdict));
    default:
      return statement satisfies never;
  }
}

function encodeDnat(
  writer: NetlinkWriter,
  context: RuleContext,
  key: readonly Operand[],
  map: string,
): void {
  loadKey(writer, context, key, map);
  loadFromMap(writer, REGISTER, { name: map }, REGISTER);
  const port = registerAt(fieldSpaceBytes(context.family, "daddr"));
  const registers = { address: REGISTER, port };
  translateDestination(writer, FAMILY_NUMBER[context.family], registers);
}

/** nft wants the transport match in front, as with `reject`. */
function encodeTproxy(writer: NetlinkWriter, { family }: RuleContext, port: number): void {
  const registers = { address: REGISTER, port: REGISTER + 1 };
  matchProtocol(writer, COMPARE.equal, PROTOCOL_TCP);
  loadConstant(writer, registers.address, addressBytes(LOOPBACK[family]));
  loadConstant(writer, registers.port, Uint8Array.of(port >> 8, port));
  giveToListener(writer, FAMILY_NUMBER[family], registers);
}

/** In front of it nft asks whether the interface is an Ethernet one; frames of a bridge always are. */
function encodeEtherDestination(
  writer: NetlinkWriter,
  { layer }: RuleContext,
  address: string,
): void {
  if (layer === "netdev") {
    loadMeta(writer, REGISTER, META.iiftype);
    compare(writer, REGISTER, COMPARE.equal, ARPHRD_ETHER);
  }
  const bytes = address.split(":").map((part) => Number.parseInt(part, 16));
  assert(bytes.length === ETHER_DESTINATION.lengthBytes, `No Ethernet address: "${address}"`);
  loadConstant(writer, REGISTER, Uint8Array.from(bytes));
  storePayload(writer, REGISTER, ETHER_DESTINATION);
}

/** nft 1.0.6 cannot make this for a key over 16 bytes, but prints it when the data comes last. */
function encodeRemember(
  writer: NetlinkWriter,
  context: RuleContext,
  statement: Extract<Statement, { kind: "remember" }>,
): void {
  const keyBytes = loadKey(writer, context, statement.key, statement.map);
  const data = keyBytes <= 16 ? registerAt(16) : LAST_REGISTER;
  loadMeta(writer, data, META.priority);
  const { timeoutSeconds } = statement;
  rememberInMap(
    writer,
    { key: REGISTER, data },
    { name: statement.map },
    {
      operation: REMEMBER[statement.operation],
      timeoutMs: timeoutSeconds === undefined ? undefined : timeoutSeconds * 1000,
    },
  );
}

/** Whole bytes of a prefix are compared without a mask. */
function matchPrefix(
  writer: NetlinkWriter,
  family: Family,
  statement: Extract<Statement, { kind: "prefix" }>,
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

function changeMeta(
  writer: NetlinkWriter,
  key: number,
  operator: "|" | "&" | "^",
  operand: number,
): void {
  loadMeta(writer, REGISTER, key);
  changeRegister(writer, operator, operand);
  storeMeta(writer, REGISTER, key);
}

function changeRegister(writer: NetlinkWriter, operator: "|" | "&" | "^", operand: number): void {
  const mask = operator === "&" ? operand : operator === "|" ? ~operand : 0xffffffff;
  maskAndXor(writer, REGISTER, hostU32(mask), hostU32(operator === "&" ? 0 : operand));
}

function matchProtocol(writer: NetlinkWriter, operator: number, protocol: number): void {
  loadMeta(writer, REGISTER, META.l4proto);
  compare(writer, REGISTER, operator, Uint8Array.of(protocol));
}

function matchNotSyn(writer: NetlinkWriter): void {
  matchProtocol(writer, COMPARE.equal, PROTOCOL_TCP);
  loadPayload(writer, REGISTER, { base: PAYLOAD_BASE.transport, ...TCP_FLAGS });
  maskAndXor(writer, REGISTER, Uint8Array.of(FIN_SYN_RST_ACK), Uint8Array.of(0));
  compare(writer, REGISTER, COMPARE.notEqual, Uint8Array.of(SYN));
}

/** The register has every bit of the mask. */
function matchMask(writer: NetlinkWriter, mask: number): void {
  maskAndXor(writer, REGISTER, hostU32(mask), hostU32(0));
  compare(writer, REGISTER, COMPARE.equal, hostU32(mask));
}

function matchBit(writer: NetlinkWriter, bit: number): void {
  maskAndXor(writer, REGISTER, hostU32(bit), hostU32(0));
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
