// Decodes what nf_tables dumps. Pure and total: never throws, whatever the bytes. Sets are read by
// the `typeof` in their user data; keys of sets that lack it (foreign ones) print as hex.

import {
  type Attribute,
  decodeAttributes,
  findAttribute,
  findNested,
  readString,
  readU32,
} from "../netlink/attribute.ts";
import { NFNETLINK_HEADER_BYTES } from "../netlink/message.ts";
import { formatHex, previousKey, readFields, readRange } from "./element-codec.ts";
import { decodeUserData, parseTypeof } from "./field.ts";
import {
  CHAIN,
  COUNTER,
  DATA,
  ELEMENT,
  ELEMENT_FLAG_INTERVAL_END,
  ELEMENT_USER_DATA,
  ELEMENTS,
  EXPRESSION,
  OBJECT,
  POLICY,
  RULE,
  SET,
  SET_FLAG,
  SET_USER_DATA,
  TABLE,
  TABLE_DORMANT,
} from "./nftables-abi.ts";
import type { Element, Family, Field, Place } from "./objects.ts";
import { decodeVerdict } from "./verdict-codec.ts";

/** A set as the kernel describes it; fields are undefined where they are not ours to know. */
export interface SetDescription {
  /** Whose addresses its fields are. */
  readonly family: Family;
  readonly name: string;
  readonly isAnonymous: boolean;
  readonly isInterval: boolean;
  /** Elements come or go without a commit. */
  readonly isVolatile: boolean;
  readonly key: readonly Field[] | undefined;
  readonly data: "verdict" | readonly Field[] | undefined;
}

/** Decodes NEWSET; undefined when it has no name. Never throws. */
export function decodeSet(place: Place, payload: Uint8Array): SetDescription | undefined {
  if (place === "ip" || place === "ip6") return decodeSetOf(place, payload);
  const set = decodeSetOf("ip", payload);
  return set?.key === undefined ? decodeSetOf("ip6", payload) : set;
}

function decodeSetOf(family: Family, payload: Uint8Array): SetDescription | undefined {
  const attributes = payload.subarray(NFNETLINK_HEADER_BYTES);
  const name = readString(findAttribute(attributes, SET.name));
  if (name === undefined) return undefined;
  const flags = readU32(findAttribute(attributes, SET.flags)) ?? 0;
  const items = decodeUserData(findAttribute(attributes, SET.userData) ?? new Uint8Array(0));
  const fieldsOf = (type: number): "verdict" | Field[] | undefined => {
    const item = items.find((candidate) => candidate.type === type);
    return item === undefined ? undefined : parseTypeof(family, item.value);
  };
  const key = fieldsOf(SET_USER_DATA.keyTypeof);
  return {
    family,
    name,
    isAnonymous: (flags & SET_FLAG.anonymous) !== 0,
    isInterval: (flags & SET_FLAG.interval) !== 0,
    isVolatile: (flags & (SET_FLAG.dynamic | SET_FLAG.timeout)) !== 0,
    key: key === "verdict" ? undefined : key,
    data: fieldsOf(SET_USER_DATA.dataTypeof),
  };
}

/**
 * Decodes all NEWSETELEM payloads of one set. Never throws.
 * @returns the elements by key, and how many came more than once, which no set holds
 */
export function decodeElements(
  set: SetDescription,
  payloads: readonly Uint8Array[],
): { readonly elements: Map<string, Element>; readonly repeated: number } {
  const raw = payloads.flatMap((payload) => {
    const list = findAttribute(payload.subarray(NFNETLINK_HEADER_BYTES), ELEMENTS.list);
    return list === undefined ? [] : decodeAttributes(list).map(decodeRawElement);
  });
  const isPaired = set.isInterval && !raw.some(({ keyEnd }) => keyEnd !== undefined);
  const ranges = isPaired ? pairIntervals(raw) : raw;
  const elements = new Map<string, Element>();
  for (const range of ranges) {
    const element = formatRawElement(set, range);
    elements.set(element.key, element);
  }
  return { elements, repeated: ranges.length - elements.size };
}

/** Decodes NEWTABLE: whether its chains are unhooked (`flags dormant`). Never throws. */
export function isDormantTable(payload: Uint8Array): boolean {
  const attributes = payload.subarray(NFNETLINK_HEADER_BYTES);
  return ((readU32(findAttribute(attributes, TABLE.flags)) ?? 0) & TABLE_DORMANT) !== 0;
}

/** Decodes NEWCHAIN. Never throws. */
export function decodeChain(payload: Uint8Array): {
  readonly table: string | undefined;
  readonly name: string | undefined;
  /** Packets that reach the end of this base chain are dropped. */
  readonly dropsByPolicy: boolean;
} {
  const attributes = payload.subarray(NFNETLINK_HEADER_BYTES);
  return {
    table: readString(findAttribute(attributes, CHAIN.table)),
    name: readString(findAttribute(attributes, CHAIN.name)),
    dropsByPolicy: readU32(findAttribute(attributes, CHAIN.policy)) === POLICY.drop,
  };
}

/**
 * Decodes NEWRULE to its chain and a text that equal rules share: the expressions, with the number
 * of an anonymous set left out, since it differs each time the rule is made. Never throws.
 */
export function decodeRule(payload: Uint8Array): {
  readonly chain: string | undefined;
  readonly fingerprint: string;
} {
  const attributes = payload.subarray(NFNETLINK_HEADER_BYTES);
  const expressions = findAttribute(attributes, RULE.expressions) ?? new Uint8Array(0);
  const parts = decodeAttributes(expressions).map(({ value }) => formatExpression(value));
  return {
    chain: readString(findAttribute(attributes, RULE.chain)),
    fingerprint: parts.join(" "),
  };
}

/** Decodes NEWOBJ of a counter. Never throws. */
export function decodeCounter(payload: Uint8Array): {
  readonly table: string | undefined;
  readonly name: string | undefined;
  readonly packets: number;
} {
  const attributes = payload.subarray(NFNETLINK_HEADER_BYTES);
  const packets = findNested(attributes, OBJECT.data, COUNTER.packets);
  return {
    table: readString(findAttribute(attributes, OBJECT.table)),
    name: readString(findAttribute(attributes, OBJECT.name)),
    packets: packets?.length === 8 ? Number(Buffer.from(packets).readBigUInt64BE()) : 0,
  };
}

/** Decodes NEWGEN. Never throws. */
export function decodeGeneration(payload: Uint8Array): number | undefined {
  return readU32(findAttribute(payload.subarray(NFNETLINK_HEADER_BYTES), 1));
}

interface RawElement {
  readonly key: Uint8Array;
  readonly keyEnd: Uint8Array | undefined;
  readonly isEnd: boolean;
  readonly data: Uint8Array | undefined;
  readonly userData: Uint8Array | undefined;
}

function decodeRawElement({ value }: Attribute): RawElement {
  const flags = readU32(findAttribute(value, ELEMENT.flags)) ?? 0;
  return {
    key: findNested(value, ELEMENT.key, DATA.value) ?? new Uint8Array(0),
    keyEnd: findNested(value, ELEMENT.keyEnd, DATA.value),
    isEnd: (flags & ELEMENT_FLAG_INTERVAL_END) !== 0,
    data: findAttribute(value, ELEMENT.data),
    userData: findAttribute(value, ELEMENT.userData),
  };
}

/** Joins the starts and ends of a one-field interval set; an end is the first key after. */
function pairIntervals(raw: readonly RawElement[]): RawElement[] {
  const sorted = raw.toSorted(
    (a, b) => Buffer.compare(a.key, b.key) || Number(b.isEnd) - Number(a.isEnd),
  );
  const ranges: RawElement[] = [];
  let start: RawElement | undefined;
  for (const element of sorted) {
    if (start !== undefined) ranges.push({ ...start, keyEnd: previousKey(element.key) });
    start = element.isEnd ? undefined : element;
  }
  // Nothing follows the last: it reaches the end of the address space.
  if (start !== undefined) ranges.push({ ...start, keyEnd: start.key.map(() => 0xff) });
  return ranges;
}

function formatRawElement(set: SetDescription, raw: RawElement): Element {
  const data = raw.data === undefined ? undefined : formatData(set, raw.data);
  const comment = raw.userData === undefined ? undefined : decodeComment(raw.userData);
  return {
    key: formatKey(set, raw),
    ...(data === undefined ? {} : { data }),
    ...(comment === undefined ? {} : { comment }),
  };
}

function formatKey(set: SetDescription, { key, keyEnd }: RawElement): string {
  if (set.key === undefined) {
    return keyEnd === undefined ? formatHex(key) : `${formatHex(key)}-${formatHex(keyEnd)}`;
  }
  return keyEnd === undefined
    ? readFields(set.family, set.key, key)
    : readRange(set.family, set.key, key, keyEnd);
}

function formatData(set: SetDescription, data: Uint8Array): string | undefined {
  const verdict = findAttribute(data, DATA.verdict);
  if (verdict !== undefined) return decodeVerdict(verdict);
  const value = findAttribute(data, DATA.value);
  if (value === undefined) return undefined;
  return set.data === undefined || set.data === "verdict"
    ? formatHex(value)
    : readFields(set.family, set.data, value);
}

function decodeComment(userData: Uint8Array): string | undefined {
  const items = decodeUserData(userData);
  return readString(items.find(({ type }) => type === ELEMENT_USER_DATA.comment)?.value);
}

function formatExpression(expression: Uint8Array): string {
  const name = readString(findAttribute(expression, EXPRESSION.name)) ?? "?";
  const operands = decodeAttributes(findAttribute(expression, EXPRESSION.data) ?? expression);
  const texts = operands.map(({ type, value }) => {
    const text = name === "lookup" && type === 1 ? readString(value) : undefined;
    return `${type}=${text === undefined ? Buffer.from(value).toString("hex") : setName(text)}`;
  });
  return `${name}(${texts.join(",")})`;
}

function setName(name: string): string {
  return name.replace(/^(__set|__map)\d+$/, "$1");
}
