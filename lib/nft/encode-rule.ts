// Encodes rules as nf_tables register programs. nft prints a program back only when it is one that
// nft could have made (else `nft list` aborts), so registers and order follow nft 1.0.6.

import assert from "node:assert/strict";
import { addressBytes } from "../ip/address.ts";
import type { NetlinkWriter } from "../netlink/attribute.ts";
import {
  CONNTRACK,
  countInObject,
  forwardFrame,
  giveToListener,
  limitRate,
  loadConntrack,
  loadConstant,
  loadFromMap,
  loadMeta,
  logToGroup,
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
  storeConntrack,
  storeMeta,
  storePayload,
  translateDestination,
} from "./expression.ts";
import { hostU32, loadKey, REGISTER, type RuleContext, registerAt } from "./encode-key.ts";
import { encodeMatch, matchEthernet, matchTcp } from "./encode-match.ts";
import { fieldSpaceBytes } from "./field.ts";
import { isMatch } from "./match.ts";
import { FAMILY_NUMBER } from "./nftables-abi.ts";
import type { Operand, Rule, Statement } from "./objects.ts";
import { formatVerdict } from "./text.ts";

const LOOPBACK = { ip: "127.0.0.1", ip6: "::1" } as const;
const LAST_REGISTER = 23;
const ETHER_DESTINATION = { base: PAYLOAD_BASE.link, offset: 0, lengthBytes: 6 } as const;
const PACKET_HOST = 0;
const ICMP_PORT_UNREACHABLE = { ip: 3, ip6: 4 } as const;

/**
 * Encodes the expressions of a rule.
 * @param anonymous one set for each statement that brings one along, in order
 */
export function encodeRule(
  writer: NetlinkWriter,
  context: RuleContext,
  rule: Rule,
  anonymous: readonly SetReference[],
): void {
  const remaining = [...anonymous];
  for (const statement of rule) {
    const own = bringsSet(statement) ? remaining.shift() : undefined;
    encodeStatement(writer, context, statement, own);
  }
}

/** `dnat` needs a set `{ tcp, udp, sctp }`, `in-list` one with its elements. */
export function bringsSet(
  statement: Statement,
): statement is Extract<Statement, { kind: "dnat" | "in-list" }> {
  return statement.kind === "dnat" || statement.kind === "in-list";
}

function encodeStatement(
  writer: NetlinkWriter,
  context: RuleContext,
  statement: Statement,
  own: SetReference | undefined,
): void {
  if (isMatch(statement)) return encodeMatch(writer, context, statement, own);
  switch (statement.kind) {
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
      assert(own !== undefined, "A dnat statement needs its protocol set");
      loadMeta(writer, REGISTER, META.l4proto);
      matchSet(writer, REGISTER, own, false);
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
      matchTcp(writer);
      return reject(writer, REJECT.tcpReset, 0);
    case "remember":
      return encodeRemember(writer, context, statement);
    case "log":
      limitRate(writer, statement.perSecond);
      return logToGroup(writer, statement.prefix, statement.group);
    case "count":
      return countInObject(writer, statement.counter);
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
  matchTcp(writer);
  loadConstant(writer, registers.address, addressBytes(LOOPBACK[family]));
  loadConstant(writer, registers.port, Uint8Array.of(port >> 8, port));
  giveToListener(writer, FAMILY_NUMBER[family], registers);
}

function encodeEtherDestination(
  writer: NetlinkWriter,
  context: RuleContext,
  address: string,
): void {
  matchEthernet(writer, context);
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
