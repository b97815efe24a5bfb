// Encodes rules as nf_tables register programs. nft prints a program back only when it is one that
// nft could have made (else `nft list` aborts), so registers and order follow nft 1.0.6.
// Registers 8-23 are 4 bytes each; the 16-byte registers 1-4 overlay them.

import assert from "node:assert/strict";
import { addressBytes } from "../ip/address.ts";
import { splitCidr } from "../ip/cidr.ts";
import type { NetlinkWriter } from "../netlink/attribute.ts";
import {
  COMPARE,
  CONNTRACK,
  compare,
  FIB_KEY,
  loadAddressType,
  loadConntrack,
  loadConstant,
  loadFromMap,
  loadMeta,
  loadPayload,
  loadRandom,
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
  setVerdict,
  storeMeta,
  toNetworkOrder,
  translateDestination,
} from "./expression.ts";
import { fieldFormat, fieldSpaceBytes, INTERFACE_NAME_BYTES } from "./field.ts";
import { FAMILY_NUMBER } from "./nftables-abi.ts";
import type { Family, Field, Operand, Rule, Statement } from "./objects.ts";
import { formatVerdict } from "./text.ts";

const REGISTER = 1;
const PROTOCOL_TCP = Uint8Array.of(6);
const LAST_REGISTER = 23;
const CT_STATE_NEW = 0x8;
const CT_STATUS_DNAT = 0x20;
const ADDRESS_TYPE_LOCAL = 2;
const ICMP_PORT_UNREACHABLE = { ip: 3, ip6: 4 } as const;

/** What a rule needs to know about the sets it names. */
export interface RuleContext {
  readonly family: Family;
  /** Interval sets compare keys in network order. */
  isInterval(name: string): boolean;
}

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
      maskAndXor(writer, REGISTER, hostU32(statement.mask), hostU32(0));
      return compare(writer, REGISTER, COMPARE.equal, hostU32(statement.mask));
    case "ct-new":
      loadConntrack(writer, REGISTER, CONNTRACK.state);
      return matchBit(writer, CT_STATE_NEW);
    case "ct-dnat":
      loadConntrack(writer, REGISTER, CONNTRACK.status);
      return matchBit(writer, CT_STATUS_DNAT);
    case "fib-local":
      loadAddressType(writer, REGISTER, FIB_KEY[statement.field]);
      return compare(writer, REGISTER, COMPARE.equal, hostU32(ADDRESS_TYPE_LOCAL));
    case "iifname":
      loadMeta(writer, REGISTER, META.iifname);
      return compare(writer, REGISTER, comparison(statement.negate), namePattern(statement.name));
    case "prefix":
      return matchPrefix(writer, context.family, statement);
    case "set-mark":
      return changeMeta(writer, META.mark, statement.operator, statement.mask);
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
    case "masquerade":
      return masquerade(writer);
    case "reject":
      return reject(writer, REJECT.icmpUnreachable, ICMP_PORT_UNREACHABLE[context.family]);
    case "reset-tcp":
      loadMeta(writer, REGISTER, META.l4proto);
      compare(writer, REGISTER, COMPARE.equal, PROTOCOL_TCP);
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

/** Loads the operands side by side from the first register. @returns the bytes they take */
function loadKey(
  writer: NetlinkWriter,
  context: RuleContext,
  key: readonly Operand[],
  set: string,
): number {
  const needsNetworkOrder = key.some(isHostNumber) && context.isInterval(set);
  let at = 0;
  for (const operand of key) {
    const register = registerAt(at);
    loadOperand(writer, context.family, operand, register);
    if (needsNetworkOrder && isHostNumber(operand)) toNetworkOrder(writer, register);
    at += fieldSpaceBytes(context.family, fieldOf(operand));
  }
  return at;
}

/** True for the operands that are 32-bit numbers in host order. */
export function isHostNumber(operand: Operand): boolean {
  const field = fieldOf(operand);
  return field === "meta priority" || field === "index";
}

function loadOperand(
  writer: NetlinkWriter,
  family: Family,
  operand: Operand,
  register: number,
): void {
  switch (operand.kind) {
    case "field":
      return loadField(writer, family, operand.field, register);
    case "masked-priority":
      loadMeta(writer, register, META.priority);
      return maskAndXor(writer, register, hostU32(operand.mask), hostU32(0));
    case "random":
      return loadRandom(writer, register, operand.modulus);
    default:
      return operand satisfies never;
  }
}

function loadField(
  writer: NetlinkWriter,
  family: Family,
  field: Exclude<Field, "index">,
  register: number,
): void {
  switch (field) {
    case "saddr":
    case "daddr":
      return loadPayload(writer, register, addressPayload(family, field));
    case "th dport":
      return loadPayload(writer, register, {
        base: PAYLOAD_BASE.transport,
        offset: 2,
        lengthBytes: 2,
      });
    case "meta l4proto":
      return loadMeta(writer, register, META.l4proto);
    case "meta priority":
      return loadMeta(writer, register, META.priority);
    case "meta iifname":
      return loadMeta(writer, register, META.iifname);
    default:
      return field satisfies never;
  }
}

function addressPayload(
  family: Family,
  field: "saddr" | "daddr",
): { readonly base: number; readonly offset: number; readonly lengthBytes: number } {
  const { lengthBytes } = fieldFormat(family, field);
  const source = family === "ip" ? 12 : 8;
  const offset = field === "saddr" ? source : source + lengthBytes;
  return { base: PAYLOAD_BASE.network, offset, lengthBytes };
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
  const mask = operator === "&" ? operand : operator === "|" ? ~operand : 0xffffffff;
  loadMeta(writer, REGISTER, key);
  maskAndXor(writer, REGISTER, hostU32(mask), hostU32(operator === "&" ? 0 : operand));
  storeMeta(writer, REGISTER, key);
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

function fieldOf(operand: Operand): Field {
  if (operand.kind === "field") return operand.field;
  return operand.kind === "random" ? "index" : "meta priority";
}

/** The register at a byte offset into a key, named as nft names it. */
function registerAt(offsetBytes: number): number {
  return offsetBytes % 16 === 0 ? 1 + offsetBytes / 16 : 8 + offsetBytes / 4;
}

/** Little-endian, the host order of both platforms we run on. */
function hostU32(value: number): Uint8Array {
  return Uint8Array.of(value, value >> 8, value >> 16, value >> 24);
}
