// Loads the operands of a lookup into registers, side by side, as keys of sets want them.
// Registers 8-23 are 4 bytes each; the 16-byte registers 1-4 overlay them.

import type { NetlinkWriter } from "../netlink/attribute.ts";
import {
  loadMeta,
  loadPayload,
  loadRandom,
  maskAndXor,
  META,
  PAYLOAD_BASE,
  toNetworkOrder,
} from "./expression.ts";
import { fieldFormat, fieldSpaceBytes } from "./field.ts";
import type { Family, Field, Layer, Operand } from "./objects.ts";

/** 32-bit numbers in host order. */
const HOST_NUMBERS: ReadonlySet<Field> = new Set([
  "meta priority",
  "index",
  "meta iif",
  "meta oif",
] as const);
/** The sender's protocol address of an ARP packet for IPv4 over Ethernet. */
const ARP_SENDER = { base: PAYLOAD_BASE.network, offset: 14, lengthBytes: 4 } as const;
const ND_TARGET = { base: PAYLOAD_BASE.transport, offset: 8, lengthBytes: 16 } as const;

/** Where keys and most other values begin. */
export const REGISTER = 1;

/** What a rule needs to know about the sets it names. */
export interface RuleContext {
  readonly family: Family;
  readonly layer: Layer | undefined;
  /** Interval sets compare keys in network order. */
  isInterval(name: string): boolean;
}

/** Loads the operands side by side from the first register. @returns the bytes they take */
export function loadKey(
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
  return HOST_NUMBERS.has(field);
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
    case "arp-sender":
      return loadPayload(writer, register, ARP_SENDER);
    case "nd-target":
      return loadPayload(writer, register, ND_TARGET);
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
    case "meta iif":
      return loadMeta(writer, register, META.iif);
    case "meta oif":
      return loadMeta(writer, register, META.oif);
    case "meta iifname":
      return loadMeta(writer, register, META.iifname);
    default:
      return field satisfies never;
  }
}

/** Where an address stands in its header. */
export function addressPayload(
  family: Family,
  field: "saddr" | "daddr",
): { readonly base: number; readonly offset: number; readonly lengthBytes: number } {
  const { lengthBytes } = fieldFormat(family, field);
  const source = family === "ip" ? 12 : 8;
  const offset = field === "saddr" ? source : source + lengthBytes;
  return { base: PAYLOAD_BASE.network, offset, lengthBytes };
}

/** What the operand is a value of. */
export function fieldOf(operand: Operand): Field {
  switch (operand.kind) {
    case "field":
      return operand.field;
    case "random":
      return "index";
    case "masked-priority":
      return "meta priority";
    case "arp-sender":
    case "nd-target":
      return "saddr";
    default:
      return operand satisfies never;
  }
}

/** The register at a byte offset into a key, named as nft names it. */
export function registerAt(offsetBytes: number): number {
  return offsetBytes % 16 === 0 ? 1 + offsetBytes / 16 : 8 + offsetBytes / 4;
}

/** Little-endian, the host order of both platforms we run on. */
export function hostU32(value: number): Uint8Array {
  return Uint8Array.of(value, value >> 8, value >> 16, value >> 24);
}
