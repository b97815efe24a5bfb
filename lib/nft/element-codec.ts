// Element keys and data between nft's text and the kernel's bytes. Numbers are in host order
// (little-endian), but in network order in interval sets, where order is compared.
// In interval sets an address is always written as a prefix, `10.0.0.1/32` for one host, unless no
// prefix spans the interval: then, as for numbers, it is `first-last`.

import assert from "node:assert/strict";
import { addressBytes, formatAddress } from "../ip/address.ts";
import { fieldFormat, fieldSpaceBytes, fieldsLengthBytes } from "./field.ts";
import type { Family, Field } from "./objects.ts";
import { formatPriority, parsePriority } from "./priority.ts";

const SEPARATOR = " . ";
const protocolNumbers: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };
const protocolNames = new Map(Object.entries(protocolNumbers).map(([name, n]) => [n, name]));

/** Writes fields into zeroed bytes, `fieldsLengthBytes` of them from `start`. */
export function writeFields(
  family: Family,
  fields: readonly Field[],
  text: string,
  into: Uint8Array,
  start = 0,
): void {
  let from = 0;
  let at = start;
  for (const field of fields) {
    const dot = text.indexOf(SEPARATOR, from);
    const part = dot < 0 ? text.slice(from) : text.slice(from, dot);
    assert(from <= text.length && part !== "", `Too few fields in nft element "${text}"`);
    writeField(family, field, part, into, at, true);
    at += fieldSpaceBytes(family, field);
    from = dot < 0 ? text.length + 1 : dot + SEPARATOR.length;
  }
  assert(from > text.length, `Too many fields in nft element "${text}"`);
}

/** The first and last key of an interval element, both inclusive. */
export function encodeRange(
  family: Family,
  fields: readonly Field[],
  text: string,
): { readonly first: Uint8Array; readonly last: Uint8Array } {
  const first = new Uint8Array(fieldsLengthBytes(family, fields));
  const last = new Uint8Array(first.length);
  const parts = text.split(SEPARATOR);
  assert(parts.length === fields.length, `Wrong number of fields in nft element "${text}"`);
  let at = 0;
  fields.forEach((field, i) => {
    const [value = "", prefixLength] = (parts[i] ?? "").split("/");
    const [low = "", high = low] = field === "meta iifname" ? [value] : value.split("-");
    writeField(family, field, low, first, at, false);
    writeField(family, field, high, last, at, false);
    if (prefixLength !== undefined) {
      const { lengthBytes } = fieldFormat(family, field);
      splitAtPrefix(first, last, at, lengthBytes, Number(prefixLength));
    }
    at += fieldSpaceBytes(family, field);
  });
  return { first, last };
}

/** The text of a key or of data. Never throws: bytes of another length print as hex. */
export function readFields(family: Family, fields: readonly Field[], bytes: Uint8Array): string {
  if (bytes.length < fieldsLengthBytes(family, fields)) return formatHex(bytes);
  let at = 0;
  const parts = fields.map((field) => {
    const { lengthBytes } = fieldFormat(family, field);
    const part = readField(field, bytes.subarray(at, at + lengthBytes), true);
    at += fieldSpaceBytes(family, field);
    return part;
  });
  return parts.join(SEPARATOR);
}

/** The text of an interval: prefixes where it is one, else `first-last`. Never throws. */
export function readRange(
  family: Family,
  fields: readonly Field[],
  first: Uint8Array,
  last: Uint8Array,
): string {
  const length = fieldsLengthBytes(family, fields);
  if (first.length < length || last.length < length) return formatHex(first);
  let at = 0;
  const parts = fields.map((field) => {
    const { lengthBytes } = fieldFormat(family, field);
    const low = first.subarray(at, at + lengthBytes);
    const high = last.subarray(at, at + lengthBytes);
    at += fieldSpaceBytes(family, field);
    return readRangeField(field, low, high);
  });
  return parts.join(SEPARATOR);
}

/** The key after this one; undefined past the last of all. */
export function nextKey(key: Uint8Array): Uint8Array | undefined {
  const next = key.slice();
  for (let i = next.length - 1; i >= 0; i--) {
    const byte = next[i] ?? 0;
    next[i] = byte + 1;
    if (byte !== 255) return next;
  }
  return undefined;
}

/** The key before this one; undefined before the first of all. */
export function previousKey(key: Uint8Array): Uint8Array | undefined {
  const previous = key.slice();
  for (let i = previous.length - 1; i >= 0; i--) {
    const byte = previous[i] ?? 0;
    previous[i] = byte - 1;
    if (byte !== 0) return previous;
  }
  return undefined;
}

/** Bytes that no field explains, as nft prints unknown integers. */
export function formatHex(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString("hex")}`;
}

function writeField(
  family: Family,
  field: Field,
  text: string,
  into: Uint8Array,
  at: number,
  littleEndian: boolean,
): void {
  switch (field) {
    case "saddr":
    case "daddr":
      return writeAddress(family, text, into, at);
    case "th dport": {
      const port = parseInteger(text, 0xffff);
      into[at] = port >> 8;
      into[at + 1] = port & 0xff;
      return;
    }
    case "meta l4proto":
      into[at] = protocolNumbers[text] ?? parseInteger(text, 0xff);
      return;
    case "meta priority":
      return writeU32(into, at, parsePriority(text), littleEndian);
    case "index":
    case "meta iif":
    case "meta oif":
      return writeU32(into, at, parseInteger(text, 0xffffffff), littleEndian);
    case "meta iifname":
      assert(/^[\x21-\x7e]{1,15}$/.test(text), `No interface name: ${JSON.stringify(text)}`);
      for (let i = 0; i < text.length; i++) into[at + i] = text.charCodeAt(i);
      return;
    default:
      return field satisfies never;
  }
}

function writeAddress(family: Family, text: string, into: Uint8Array, at: number): void {
  const bytes = addressBytes(text);
  assert(bytes.length === (family === "ip" ? 4 : 16), `No ${family} address: "${text}"`);
  into.set(bytes, at);
}

function readField(field: Field, bytes: Uint8Array, littleEndian: boolean): string {
  switch (field) {
    case "saddr":
    case "daddr":
      return formatAddress(bytes);
    case "th dport":
      return String(((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0));
    case "meta l4proto":
      return protocolNames.get(bytes[0] ?? 0) ?? String(bytes[0] ?? 0);
    case "meta priority":
      return formatPriority(readU32(bytes, littleEndian));
    case "index":
    case "meta iif":
    case "meta oif":
      return String(readU32(bytes, littleEndian));
    case "meta iifname": {
      const end = bytes.indexOf(0);
      return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString("latin1");
    }
    default:
      return field satisfies never;
  }
}

function readRangeField(field: Field, low: Uint8Array, high: Uint8Array): string {
  const text = readField(field, low, false);
  if (field === "saddr" || field === "daddr") {
    const length = commonPrefixLength(low, high);
    return length === undefined ? `${text}-${formatAddress(high)}` : `${text}/${length}`;
  }
  const end = readField(field, high, false);
  return text === end ? text : `${text}-${end}`;
}

/** The prefix length that `low`–`high` spans exactly; undefined when no prefix does. */
function commonPrefixLength(low: Uint8Array, high: Uint8Array): number | undefined {
  let length = 0;
  let inHost = false;
  for (let i = 0; i < low.length * 8; i++) {
    const bit = 0x80 >> (i & 7);
    const lowBit = (low[i >> 3] ?? 0) & bit;
    const highBit = (high[i >> 3] ?? 0) & bit;
    if (!inHost && lowBit === highBit) length++;
    else if (lowBit === 0 && highBit !== 0) inHost = true;
    else return undefined;
  }
  return length;
}

/** Clears the host bits in `first` and sets them in `last`. */
function splitAtPrefix(
  first: Uint8Array,
  last: Uint8Array,
  at: number,
  lengthBytes: number,
  prefixLength: number,
): void {
  for (let i = 0; i < lengthBytes; i++) {
    const networkBits = Math.min(8, Math.max(0, prefixLength - i * 8));
    const hostMask = 0xff >> networkBits;
    first[at + i] = (first[at + i] ?? 0) & ~hostMask;
    last[at + i] = (last[at + i] ?? 0) | hostMask;
  }
}

function parseInteger(text: string, maximum: number): number {
  const value = Number(text);
  assert(
    text !== "" && Number.isInteger(value) && value >= 0 && value <= maximum,
    `No integer up to ${maximum} in nft element: "${text}"`,
  );
  return value;
}

function writeU32(into: Uint8Array, at: number, value: number, littleEndian: boolean): void {
  for (let i = 0; i < 4; i++) into[at + i] = value >>> (8 * (littleEndian ? i : 3 - i));
}

function readU32(bytes: Uint8Array, littleEndian: boolean): number {
  let value = 0;
  for (let i = 0; i < 4; i++) value |= (bytes[i] ?? 0) << (8 * (littleEndian ? i : 3 - i));
  return value >>> 0;
}
