// DER, the byte form of ASN.1 (X.690): a writer for the few types that certificates need, and a
// strict reader that turns bytes of strangers into a tree, or into nothing.

import assert from "node:assert/strict";

/** Tag bytes: class, "is constructed" bit and number (X.690, section 8.1.2). */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  objectId: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

const CONSTRUCTED = 0x20;
/** The number of the tag follows in more bytes: nothing in X.509 does that. */
const LONG_TAG = 0x1f;

/** Tag of a context-specific element, `[number]`. */
export function contextTag(number: number, form: "primitive" | "constructed"): number {
  assert.ok(number < LONG_TAG);
  return 0x80 | number | (form === "constructed" ? CONSTRUCTED : 0);
}

/** One element with its children concatenated as its content. */
export function encodeDer(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(tag, ...encodeLength(content.length)), content]);
}

export function encodeSequence(...parts: readonly Buffer[]): Buffer {
  return encodeDer(TAG.sequence, ...parts);
}

/** @param magnitude of a non-negative number, most significant byte first, any leading zeros */
export function encodeInteger(magnitude: Buffer): Buffer {
  const first = magnitude.findIndex((byte) => byte !== 0);
  const bytes = first < 0 ? Buffer.of(0) : magnitude.subarray(first);
  const sign = (bytes[0] ?? 0) >= 0x80 ? Buffer.of(0) : Buffer.alloc(0);
  return encodeDer(TAG.integer, sign, bytes);
}

/** @param unusedBits of the last byte, 0 to 7, all zero */
export function encodeBitString(bytes: Buffer, unusedBits = 0): Buffer {
  return encodeDer(TAG.bitString, Buffer.of(unusedBits), bytes);
}

/** @param dotted like `2.5.29.15`; the parts may be of any size */
export function encodeObjectId(dotted: string): Buffer {
  const [first = 0n, second = 0n, ...rest] = dotted.split(".").map(BigInt);
  const parts = [first * 40n + second, ...rest];
  return encodeDer(TAG.objectId, Buffer.from(parts.flatMap(encodeBase128)));
}

function encodeBase128(value: bigint): number[] {
  const bytes = [Number(value & 0x7fn)];
  for (let rest = value >> 7n; rest > 0n; rest >>= 7n) bytes.unshift(Number(rest & 0x7fn) | 0x80);
  return bytes;
}

function encodeLength(lengthBytes: number): readonly number[] {
  assert.ok(lengthBytes < 2 ** 16);
  if (lengthBytes < 0x80) return [lengthBytes];
  if (lengthBytes < 0x100) return [0x81, lengthBytes];
  return [0x82, lengthBytes >> 8, lengthBytes & 0xff];
}

export interface DerElement {
  readonly tag: number;
  /** Without tag and length. */
  readonly content: Buffer;
  /** With tag and length: what a signature covers. */
  readonly whole: Buffer;
  /** Of a constructed element; else none. */
  readonly children: readonly DerElement[];
}

/** What is longer, deeper or finer than this is no certificate of a workload, but an attack. */
export const DER_LIMITS = { lengthBytes: 16_384, depth: 12, elements: 1_024 } as const;

/**
 * The one element that the bytes hold, to the last byte, as a tree over the same memory.
 * Undefined for anything that is not DER (indefinite or padded lengths, long tags) and for anything
 * beyond `DER_LIMITS`. What octet and bit strings wrap is not looked at. Never throws.
 */
export function decodeDer(bytes: Buffer): DerElement | undefined {
  if (bytes.length > DER_LIMITS.lengthBytes) return undefined;
  const elements = decodeElements(bytes, { depth: 0, budget: { elements: DER_LIMITS.elements } });
  return elements?.length === 1 ? elements[0] : undefined;
}

interface Position {
  readonly depth: number;
  readonly budget: { elements: number };
}

function decodeElements(bytes: Buffer, { depth, budget }: Position): DerElement[] | undefined {
  if (depth > DER_LIMITS.depth) return undefined;
  const elements: DerElement[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    if (--budget.elements < 0) return undefined;
    const header = decodeHeader(bytes, offset);
    if (header === undefined) return undefined;
    const { tag, contentOffset, endOffset } = header;
    const content = bytes.subarray(contentOffset, endOffset);
    const children =
      (tag & CONSTRUCTED) === 0 ? [] : decodeElements(content, { depth: depth + 1, budget });
    if (children === undefined) return undefined;
    elements.push({ tag, content, whole: bytes.subarray(offset, endOffset), children });
    offset = endOffset;
  }
  return elements;
}

interface Header {
  readonly tag: number;
  readonly contentOffset: number;
  readonly endOffset: number;
}

function decodeHeader(bytes: Buffer, offset: number): Header | undefined {
  const [tag, first] = [bytes[offset], bytes[offset + 1]];
  if (tag === undefined || first === undefined) return undefined;
  if ((tag & LONG_TAG) === LONG_TAG) return undefined;
  const lengthOctets = first < 0x80 ? 0 : first - 0x80;
  // 0x80 alone is BER's indefinite length; more than two octets is more than our limit.
  if (first === 0x80 || lengthOctets > 2) return undefined;
  const contentOffset = offset + 2 + lengthOctets;
  if (contentOffset > bytes.length) return undefined;
  const lengthBytes = lengthOctets === 0 ? first : bytes.readUIntBE(offset + 2, lengthOctets);
  // DER: the shortest form that holds the length.
  if (lengthOctets > 0 && lengthBytes < (lengthOctets === 1 ? 0x80 : 0x100)) return undefined;
  const endOffset = contentOffset + lengthBytes;
  return endOffset > bytes.length ? undefined : { tag, contentOffset, endOffset };
}

/**
 * Magnitude of a non-negative INTEGER without leading zeros (one zero byte for 0); undefined for
 * another element, a negative number, or a padded one.
 */
export function decodeInteger(element: DerElement | undefined): Buffer | undefined {
  if (element?.tag !== TAG.integer) return undefined;
  const { content } = element;
  const [first, second = 0xff] = content;
  if (first === undefined || first >= 0x80) return undefined;
  if (first !== 0 || content.length === 1) return content;
  return second >= 0x80 ? content.subarray(1) : undefined;
}

/** Undefined for another element and for a value that is neither 0x00 nor 0xff. */
export function decodeBoolean(element: DerElement | undefined): boolean | undefined {
  if (element?.tag !== TAG.boolean || element.content.length !== 1) return undefined;
  const [value] = element.content;
  return value === 0xff ? true : value === 0 ? false : undefined;
}

/** Undefined for another element, and for unused bits that are not zero. */
export function decodeBitString(element: DerElement | undefined): Buffer | undefined {
  if (element?.tag !== TAG.bitString) return undefined;
  const [unusedBits] = element.content;
  const bytes = element.content.subarray(1);
  if (unusedBits === undefined || unusedBits > 7) return undefined;
  if (unusedBits === 0) return bytes;
  const last = bytes.at(-1);
  return last === undefined || (last & ((1 << unusedBits) - 1)) !== 0 ? undefined : bytes;
}
