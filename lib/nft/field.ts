// What nf_tables and nft know about each Field: length, data type, byte order, and the `typeof`
// expression that nft stores in a set's user data so that `nft list` can print readable keys.
// Captured from nft 1.0.6; the numbers are nft's own (data types, expression and protocol ids).

import type { Family, Field } from "./objects.ts";

export interface FieldFormat {
  readonly lengthBytes: number;
  /** nft's data type id; ids of a concatenation are packed 6 bits each. */
  readonly typeId: number;
  readonly byteOrder: "host" | "network";
  /** The `typeof` expression as nft's user data (type, length, value). */
  readonly expression: Uint8Array;
}

/** The kernel's maximum for an interface name, with its NUL. */
export const INTERFACE_NAME_BYTES = 16;

const EXPRESSION_VERDICT = 1;
const EXPRESSION_PAYLOAD = 7;
const EXPRESSION_META = 9;
const EXPRESSION_CONCAT = 13;
const EXPRESSION_NUMGEN = 23;
const PROTOCOL_TRANSPORT = 11;
const PROTOCOL_IP = 12;
const PROTOCOL_IP6 = 13;
const META_PRIORITY = 2;
const META_IIF = 4;
const META_OIF = 5;
const META_IIFNAME = 6;
const META_L4PROTO = 16;
const RANDOM = 1;

/** One user-data item: 8-bit type, 8-bit length, value. */
export function userData(type: number, value: Uint8Array): Uint8Array {
  return Uint8Array.of(type, value.length, ...value);
}

/** An integer in user data: host order, which is little-endian on both platforms we run on. */
export function userDataU32(type: number, value: number): Uint8Array {
  return Uint8Array.of(type, 4, value, value >> 8, value >> 16, value >> 24);
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function expression(kind: number, ...operands: readonly number[]): Uint8Array {
  const values = operands.map((operand, i) => userDataU32(i, operand));
  return concatBytes(userDataU32(0, kind), userData(1, concatBytes(...values)));
}

const common = {
  "th dport": {
    lengthBytes: 2,
    typeId: 13,
    byteOrder: "network",
    expression: expression(EXPRESSION_PAYLOAD, PROTOCOL_TRANSPORT, 2),
  },
  "meta l4proto": {
    lengthBytes: 1,
    typeId: 12,
    byteOrder: "host",
    expression: expression(EXPRESSION_META, META_L4PROTO),
  },
  "meta priority": {
    lengthBytes: 4,
    typeId: 23,
    byteOrder: "host",
    expression: expression(EXPRESSION_META, META_PRIORITY),
  },
  "meta iif": {
    lengthBytes: 4,
    typeId: 20,
    byteOrder: "host",
    expression: expression(EXPRESSION_META, META_IIF),
  },
  "meta oif": {
    lengthBytes: 4,
    typeId: 20,
    byteOrder: "host",
    expression: expression(EXPRESSION_META, META_OIF),
  },
  "meta iifname": {
    lengthBytes: INTERFACE_NAME_BYTES,
    typeId: 41,
    byteOrder: "host",
    expression: expression(EXPRESSION_META, META_IIFNAME),
  },
  index: {
    lengthBytes: 4,
    typeId: 4,
    byteOrder: "host",
    expression: expression(EXPRESSION_NUMGEN, RANDOM, 2, 0),
  },
} as const satisfies Partial<Record<Field, FieldFormat>>;

function addressFormat(family: Family, ip4Template: number, ip6Template: number): FieldFormat {
  return {
    lengthBytes: family === "ip" ? 4 : 16,
    typeId: family === "ip" ? 7 : 8,
    byteOrder: "network",
    expression:
      family === "ip"
        ? expression(EXPRESSION_PAYLOAD, PROTOCOL_IP, ip4Template)
        : expression(EXPRESSION_PAYLOAD, PROTOCOL_IP6, ip6Template),
  };
}

const formats: Readonly<Record<Family, Readonly<Record<Field, FieldFormat>>>> = {
  ip: { ...common, saddr: addressFormat("ip", 11, 8), daddr: addressFormat("ip", 12, 9) },
  ip6: { ...common, saddr: addressFormat("ip6", 11, 8), daddr: addressFormat("ip6", 12, 9) },
};

export function fieldFormat(family: Family, field: Field): FieldFormat {
  return formats[family][field];
}

/** Bytes a field takes inside a key: concatenated fields are padded to 4. */
export function fieldSpaceBytes(family: Family, field: Field): number {
  return (fieldFormat(family, field).lengthBytes + 3) & ~3;
}

/** The length of a key or of data: exact for one field, padded for several. */
export function fieldsLengthBytes(family: Family, fields: readonly Field[]): number {
  const [first] = fields;
  if (first !== undefined && fields.length === 1) return fieldFormat(family, first).lengthBytes;
  return fields.reduce((sum, field) => sum + fieldSpaceBytes(family, field), 0);
}

/** nft's data type of a key or of data. */
export function fieldsTypeId(family: Family, fields: readonly Field[]): number {
  return fields.reduce((type, field) => (type << 6) | fieldFormat(family, field).typeId, 0);
}

/** nft's number for a byte order in user data: 0 mixed, 1 host, 2 network. */
export function byteOrderId(family: Family, fields: readonly Field[] | "verdict"): number {
  const [first] = fields;
  if (fields === "verdict" || fields.length !== 1 || first === undefined) return 0;
  return fieldFormat(family, first as Field).byteOrder === "host" ? 1 : 2;
}

/** The `typeof` of a key or of data. */
export function typeofExpression(family: Family, fields: readonly Field[] | "verdict"): Uint8Array {
  if (fields === "verdict") {
    return concatBytes(userDataU32(0, EXPRESSION_VERDICT), userData(1, new Uint8Array(0)));
  }
  const expressions = fields.map((field) => fieldFormat(family, field).expression);
  const [first] = expressions;
  if (first !== undefined && expressions.length === 1) return first;
  const items = expressions.map((item, i) => userData(i, item));
  return concatBytes(userDataU32(0, EXPRESSION_CONCAT), userData(1, concatBytes(...items)));
}

/** Reads a `typeof` back; undefined when it names something that is no Field. Never throws. */
export function parseTypeof(family: Family, bytes: Uint8Array): Field[] | "verdict" | undefined {
  const [kind, operands] = decodeUserData(bytes);
  if (kind === undefined || operands === undefined) return undefined;
  if (kind.value[0] === EXPRESSION_VERDICT) return "verdict";
  const items =
    kind.value[0] === EXPRESSION_CONCAT
      ? decodeUserData(operands.value).map(({ value }) => value)
      : [bytes];
  const fields = items.map((item) => fieldOf(family, item));
  return fields.every((field) => field !== undefined) ? fields : undefined;
}

/** Splits user data into its items. Never throws: stops at the first that does not fit. */
export function decodeUserData(
  bytes: Uint8Array,
): { readonly type: number; readonly value: Uint8Array }[] {
  const items: { type: number; value: Uint8Array }[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const end = at + 2 + (bytes[at + 1] ?? 0);
    if (end > bytes.length) break;
    items.push({ type: bytes[at] ?? 0, value: bytes.subarray(at + 2, end) });
    at = end;
  }
  return items;
}

const fieldNames = [
  "saddr",
  "daddr",
  "th dport",
  "meta l4proto",
  "meta priority",
  "meta iif",
  "meta oif",
  "meta iifname",
  "index",
] as const satisfies readonly Field[];

function fieldOf(family: Family, item: Uint8Array): Field | undefined {
  return fieldNames.find((field) => Buffer.compare(formats[family][field].expression, item) === 0);
}
