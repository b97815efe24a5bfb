// Protobuf's wire format, one level at a time: a message is a list of numbered fields, and what a
// field of bytes means (text, bytes, a message) is known to whoever asked. Pure and total.
// https://protobuf.dev/programming-guides/encoding/

export type Field =
  | { readonly kind: "varint"; readonly number: number; readonly value: bigint }
  | { readonly kind: "fixed64"; readonly number: number; readonly value: bigint }
  | { readonly kind: "bytes"; readonly number: number; readonly value: Uint8Array }
  | { readonly kind: "fixed32"; readonly number: number; readonly value: number };

export type DecodedFields =
  | { readonly kind: "ok"; readonly fields: readonly Field[] }
  | { readonly kind: "invalid"; readonly problem: string };

/** More fields than this in one message are refused. */
export const MAX_FIELDS = 1_024;
const MAX_FIELD_NUMBER = 2 ** 29 - 1;
const MAX_VARINT_BYTES = 10;
const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/**
 * Reads the fields of a message in their order. Never throws. `value`s of bytes are views.
 * Groups, which proto3 does not have, are refused.
 */
export function decodeFields(bytes: Uint8Array): DecodedFields {
  const reader = new Reader(bytes);
  const fields: Field[] = [];
  while (!reader.done) {
    if (fields.length === MAX_FIELDS) return invalid(`more than ${MAX_FIELDS} fields`);
    const field = reader.field();
    if (typeof field === "string") return invalid(`${field} at byte ${reader.offset}`);
    fields.push(field);
  }
  return { kind: "ok", fields };
}

/** Writes a message. Varints and fixed values are taken modulo 2^64 or 2^32. */
export function encodeFields(fields: readonly Field[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.concat(fields.flatMap(encodeField)));
}

/** A field of bytes. */
export function bytesField(number: number, value: Uint8Array): Field {
  return { kind: "bytes", number, value };
}

/** A field of text. */
export function textField(number: number, text: string): Field {
  return bytesField(number, Buffer.from(text, "utf8"));
}

/** The last field of bytes with that number, as proto3 has it; undefined when there is none. */
export function lastBytes(fields: readonly Field[], number: number): Uint8Array | undefined {
  return allBytes(fields, number).at(-1);
}

/** All fields of bytes with that number. */
export function allBytes(fields: readonly Field[], number: number): readonly Uint8Array[] {
  return fields.flatMap((field) =>
    field.kind === "bytes" && field.number === number ? [field.value] : [],
  );
}

/** The last varint with that number as an int64; 0 when there is none. */
export function lastInt64(fields: readonly Field[], number: number): bigint {
  const field = fields.findLast((one) => one.kind === "varint" && one.number === number);
  return field?.kind === "varint" ? BigInt.asIntN(64, field.value) : 0n;
}

/** Bytes as text; undefined when they are no UTF-8. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.offset === this.#bytes.length;
  }

  /** The next field, or what is wrong with it. */
  field(): Field | string {
    const tag = this.#varint();
    if (tag === undefined) return "a tag is cut off or too long";
    const number = Number(tag >> 3n);
    if (number === 0 || number > MAX_FIELD_NUMBER) return "a field number is out of range";
    switch (Number(tag & 7n)) {
      case WIRE.varint: {
        const value = this.#varint();
        if (value === undefined) return `varint ${number} is cut off or too long`;
        return { kind: "varint", number, value };
      }
      case WIRE.fixed64: {
        const at = this.#take(8n);
        if (at === undefined) return `field ${number} is cut off`;
        return { kind: "fixed64", number, value: this.#view.getBigUint64(at, true) };
      }
      case WIRE.bytes: {
        const length = this.#varint();
        const at = length === undefined ? undefined : this.#take(length);
        if (at === undefined) return `field ${number} is cut off`;
        return bytesField(number, this.#bytes.subarray(at, this.offset));
      }
      case WIRE.fixed32: {
        const at = this.#take(4n);
        if (at === undefined) return `field ${number} is cut off`;
        return { kind: "fixed32", number, value: this.#view.getUint32(at, true) };
      }
      default:
        return `field ${number} has a wire type that proto3 lacks`;
    }
  }

  #varint(): bigint | undefined {
    let value = 0n;
    for (let i = 0; i < MAX_VARINT_BYTES; i++) {
      const byte = this.#bytes[this.offset + i];
      if (byte === undefined) return undefined;
      value |= BigInt(byte & 0x7f) << BigInt(7 * i);
      if (byte < 0x80) {
        this.offset += i + 1;
        return BigInt.asUintN(64, value);
      }
    }
    return undefined;
  }

  /** Where the next bytes begin, if there are so many; moves past them. */
  #take(length: bigint): number | undefined {
    if (length > BigInt(this.#bytes.length - this.offset)) return undefined;
    const at = this.offset;
    this.offset += Number(length);
    return at;
  }
}

function encodeField(field: Field): readonly Uint8Array[] {
  const tag = encodeVarint((BigInt(field.number) << 3n) | BigInt(WIRE[field.kind]));
  switch (field.kind) {
    case "varint":
      return [tag, encodeVarint(field.value)];
    case "bytes":
      return [tag, encodeVarint(BigInt(field.value.length)), field.value];
    case "fixed64": {
      const value = Buffer.alloc(8);
      value.writeBigUInt64LE(BigInt.asUintN(64, field.value));
      return [tag, value];
    }
    case "fixed32": {
      const value = Buffer.alloc(4);
      value.writeUInt32LE(field.value >>> 0);
      return [tag, value];
    }
    default:
      return field satisfies never;
  }
}

function encodeVarint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

function invalid(problem: string): DecodedFields {
  return { kind: "invalid", problem };
}
