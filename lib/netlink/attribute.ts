// Netlink attributes (type, length, value, padded to 4 bytes; RFC 3549): a writer into one growing
// buffer and a total decoder. Headers are in host order, little-endian on both platforms we run on;
// nf_tables puts the integers inside values in network order.

const HEADER_BYTES = 4;
const NESTED_FLAG = 0x8000;
const TYPE_MASK = 0x3fff; // above are NESTED and NET_BYTEORDER
/** A length is 16 bits and counts the header. */
export const MAX_ATTRIBUTE_BYTES = 0xffff;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Appends to one buffer that doubles when full. Not reusable after `finish`. */
export class NetlinkWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView<ArrayBuffer>;
  #length = 0;

  constructor(initialBytes = 16_384) {
    this.#bytes = new Uint8Array(initialBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  /** The bytes written; the writer gives its buffer away. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /**
   * Makes room for `bytes` zero bytes and steps over them.
   * @returns where they start; write them through `buffer`
   */
  skip(bytes: number): number {
    const at = this.#length;
    this.#need(bytes);
    this.#length += bytes;
    return at;
  }

  /** The whole buffer, for values written in place; valid until the next write. */
  get buffer(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  setUint16(at: number, value: number): void {
    this.#view.setUint16(at, value, true);
  }

  setUint32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  /** Opens a nested attribute. @returns what `end` wants */
  begin(type: number): number {
    this.#need(HEADER_BYTES);
    const at = this.#length;
    this.#view.setUint16(at + 2, type | NESTED_FLAG, true);
    this.#length = at + HEADER_BYTES;
    return at;
  }

  /** Closes a nested attribute. @throws RangeError when it outgrew 16 bits of length */
  end(at: number): void {
    const length = this.#length - at;
    if (length > MAX_ATTRIBUTE_BYTES) throw new RangeError(`Netlink attribute of ${length} bytes`);
    this.#view.setUint16(at, length, true);
  }

  u8(type: number, value: number): void {
    const at = this.#header(type, 1);
    this.#view.setUint8(at, value);
  }

  /** 32 bits in network order. */
  u32(type: number, value: number): void {
    const at = this.#header(type, 4);
    this.#view.setUint32(at, value);
  }

  /** 64 bits in network order. */
  u64(type: number, value: number): void {
    const at = this.#header(type, 8);
    this.#view.setBigUint64(at, BigInt(value));
  }

  /** Text with the NUL that the kernel expects. */
  string(type: number, text: string): void {
    // Names of nf_tables objects are ASCII and short: a loop beats the encoder's call.
    const length = text.length;
    const at = this.#header(type, length + 1);
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) throw new RangeError(`Netlink name is not ASCII: ${JSON.stringify(text)}`);
      this.#bytes[at + i] = code;
    }
  }

  bytes(type: number, value: Uint8Array): void {
    const at = this.#header(type, value.length);
    this.#bytes.set(value, at);
  }

  /** An attribute of `length` zero bytes. @returns where they start; write through `buffer` */
  reserve(type: number, length: number): number {
    return this.#header(type, length);
  }

  /** Writes the header, steps over the padded value, and returns where the value starts. */
  #header(type: number, valueBytes: number): number {
    const padded = (HEADER_BYTES + valueBytes + 3) & ~3;
    if (valueBytes + HEADER_BYTES > MAX_ATTRIBUTE_BYTES) {
      throw new RangeError(`Netlink attribute of ${valueBytes} bytes`);
    }
    this.#need(padded);
    const at = this.#length;
    this.#view.setUint16(at, HEADER_BYTES + valueBytes, true);
    this.#view.setUint16(at + 2, type, true);
    this.#length = at + padded;
    return at + HEADER_BYTES;
  }

  #need(bytes: number): void {
    const wanted = this.#length + bytes;
    if (wanted <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(wanted, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** One decoded attribute; `value` is a view into the input. */
export interface Attribute {
  readonly type: number;
  readonly value: Uint8Array;
}

/** Splits bytes into attributes. Never throws: stops at the first that does not fit. */
export function decodeAttributes(bytes: Uint8Array): Attribute[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const attributes: Attribute[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < HEADER_BYTES || at + length > bytes.length) break;
    const type = view.getUint16(at + 2, true) & TYPE_MASK;
    attributes.push({ type, value: bytes.subarray(at + HEADER_BYTES, at + length) });
    at += (length + 3) & ~3;
  }
  return attributes;
}

/** The value of the first attribute of a type; undefined when there is none. Never throws. */
export function findAttribute(bytes: Uint8Array, type: number): Uint8Array | undefined {
  return decodeAttributes(bytes).find((attribute) => attribute.type === type)?.value;
}

/** Follows nested attributes down a path of types. Never throws. */
export function findNested(bytes: Uint8Array, ...path: readonly number[]): Uint8Array | undefined {
  let value: Uint8Array | undefined = bytes;
  for (const type of path) {
    if (value === undefined) return undefined;
    value = findAttribute(value, type);
  }
  return value;
}

/** 32 bits in network order; undefined when the value has another length. Never throws. */
export function readU32(value: Uint8Array | undefined): number | undefined {
  if (value?.length !== 4) return undefined;
  return new DataView(value.buffer, value.byteOffset, 4).getUint32(0);
}

/** Text up to its NUL. Never throws. */
export function readString(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return decoder.decode(end < 0 ? value : value.subarray(0, end));
}

/** UTF-8 bytes of text with its NUL, as user data holds it. */
export function nulTerminated(text: string): Uint8Array {
  return encoder.encode(`${text}\0`);
}
