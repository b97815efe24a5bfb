// Encodes changes to routing rules and routes (rtnetlink(7), include/uapi/linux/fib_rules.h). Pure.

import type { AddressFamily } from "../ip/address.ts";
import { NetlinkWriter } from "./attribute.ts";
import { endMessage, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST } from "./message.ts";

/** A routing rule that looks at the packet mark; what `ip rule add pref …` makes. */
export interface RoutingRule {
  readonly family: AddressFamily;
  /** Rules are tried from the lowest number. */
  readonly preference: number;
  readonly mark: number;
  readonly mask: number;
  /** Only for packets that entered here; `lo` stands for packets of this host's own. */
  readonly interfaceName?: string;
  readonly action:
    | { readonly kind: "lookup"; readonly table: number }
    /** Goes on at the rule of that preference. */
    | { readonly kind: "goto"; readonly preference: number };
}

/** `local default dev lo`: every address counts as this host's own for who looks here. */
export interface LocalDefaultRoute {
  readonly family: AddressFamily;
  readonly table: number;
}

/** Numbers of include/uapi/linux/rtnetlink.h and fib_rules.h */
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTA_OIF = 4;
const RTA_TABLE = 15;
const RTN_LOCAL = 2;
const RT_SCOPE_HOST = 254;
const RTPROT_STATIC = 4;
const FRA_IIFNAME = 3;
const FRA_GOTO = 4;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FR_ACT_TO_TBL = 1;
const FR_ACT_GOTO = 2;
const FAMILY_NUMBER = { ip: 2, ip6: 10 } as const;
/** The loopback link's number in every namespace. */
const LOOPBACK_INDEX = 1;

const HEADER_BYTES = 16;
const BODY_BYTES = 12; // struct rtmsg, struct fib_rule_hdr

/** Adds a rule, or deletes it. The kernel answers EEXIST when it is there, ENOENT when not. */
export function encodeRuleChange(
  operation: "add" | "delete",
  rule: RoutingRule,
  sequence: number,
): Uint8Array<ArrayBuffer> {
  const { action } = rule;
  const writer = new NetlinkWriter(256);
  const type = operation === "add" ? RTM_NEWRULE : RTM_DELRULE;
  const message = begin(writer, type, operation, sequence);
  const body = message + HEADER_BYTES;
  writer.buffer[body] = FAMILY_NUMBER[rule.family];
  writer.buffer[body + 7] = action.kind === "lookup" ? FR_ACT_TO_TBL : FR_ACT_GOTO;
  hostU32(writer, FRA_PRIORITY, rule.preference);
  hostU32(writer, FRA_FWMARK, rule.mark);
  hostU32(writer, FRA_FWMASK, rule.mask);
  if (rule.interfaceName !== undefined) writer.string(FRA_IIFNAME, rule.interfaceName);
  if (action.kind === "lookup") hostU32(writer, FRA_TABLE, action.table);
  else hostU32(writer, FRA_GOTO, action.preference);
  endMessage(writer, message);
  return writer.finish();
}

/** Adds the route, or deletes it. The kernel answers EEXIST when it is there, ESRCH when not. */
export function encodeLocalDefault(
  operation: "add" | "delete",
  { family, table }: LocalDefaultRoute,
  sequence: number,
): Uint8Array<ArrayBuffer> {
  const writer = new NetlinkWriter(128);
  const type = operation === "add" ? RTM_NEWROUTE : RTM_DELROUTE;
  const message = begin(writer, type, operation, sequence);
  const body = message + HEADER_BYTES;
  writer.buffer[body] = FAMILY_NUMBER[family];
  writer.buffer[body + 5] = RTPROT_STATIC;
  writer.buffer[body + 6] = RT_SCOPE_HOST;
  writer.buffer[body + 7] = RTN_LOCAL;
  hostU32(writer, RTA_TABLE, table);
  hostU32(writer, RTA_OIF, LOOPBACK_INDEX);
  endMessage(writer, message);
  return writer.finish();
}

function begin(
  writer: NetlinkWriter,
  type: number,
  operation: "add" | "delete",
  sequence: number,
): number {
  const flags = operation === "add" ? NLM_F_CREATE | NLM_F_EXCL : 0;
  const at = writer.skip(HEADER_BYTES + BODY_BYTES);
  writer.setUint16(at + 4, type);
  writer.setUint16(at + 6, NLM_F_REQUEST | NLM_F_ACK | flags);
  writer.setUint32(at + 8, sequence);
  return at;
}

function hostU32(writer: NetlinkWriter, type: number, value: number): void {
  writer.setUint32(writer.reserve(type, 4), value);
}
