// The reading side of HPACK (RFC 7541): a header block becomes fields. The table of one direction
// of a connection lives here, so every block must pass through, those of refused streams too.

import { type H2Field, makeField } from "./h2-field.ts";
import { decodeHuffman } from "./hpack-huffman.ts";
import { STATIC_FIELDS } from "./hpack-static-table.ts";

/** What SETTINGS_HEADER_TABLE_SIZE is when nobody sets it. We never do. */
export const TABLE_BYTES = 4096;
/** Entries that fit, at the 32 bytes that an empty one counts. A power of two. */
const SLOTS = TABLE_BYTES / 32;
const STATIC_COUNT = STATIC_FIELDS.length;
/** Above any length that makes sense in a frame; keeps sums within 31 bits. */
const MAX_INTEGER = 0xff_ffff;
const SCRATCH_BYTES = 512;

/** Takes the fields of a block in their order. */
export interface FieldSink {
  field(field: H2Field): void;
}

/**
 * - `too-large`: the list outgrew its limit; the rest was read for the table and not told.
 * - `broken`: the table can no longer be trusted; the connection is over (COMPRESSION_ERROR).
 */
export type BlockOutcome = "complete" | "too-large" | "broken";

export class HpackDecoder {
  readonly #listBytes: number;
  /** A ring; the newest entry is the one before `#next`. */
  readonly #table: (H2Field | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  #next = 0;
  #count = 0;
  #sizeBytes = 0;
  #limitBytes = TABLE_BYTES;
  #scratch: Buffer = Buffer.alloc(0);
  #bytes: Buffer = this.#scratch;
  #at = 0;
  #end = 0;

  /** @param listBytes limit of one block's fields, counted as RFC 9113 §6.5.2 does */
  constructor(listBytes: number) {
    this.#listBytes = listBytes;
  }

  /** Reads one whole block from a view that may be overwritten afterwards. Never throws. */
  decode(bytes: Buffer, start: number, end: number, sink: FieldSink): BlockOutcome {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    let listBytes = 0;
    let mayResize = true;
    while (this.#at < end) {
      const first = bytes[this.#at] ?? 0;
      if ((first & 0xe0) === 0x20) {
        if (!mayResize || !this.#resize()) return "broken";
        continue;
      }
      mayResize = false;
      const field = first & 0x80 ? this.#fieldAt(this.#integer(0x7f)) : this.#literal(first);
      if (field === undefined) return "broken";
      listBytes += field.sizeBytes;
      if (listBytes <= this.#listBytes) sink.field(field);
    }
    return listBytes <= this.#listBytes ? "complete" : "too-large";
  }

  #fieldAt(index: number): H2Field | undefined {
    if (index <= STATIC_COUNT) return STATIC_FIELDS[index - 1];
    const age = index - STATIC_COUNT;
    return age > this.#count ? undefined : this.#table[(this.#next - age) & (SLOTS - 1)];
  }

  #literal(first: number): H2Field | undefined {
    const indexed = (first & 0x40) !== 0;
    const index = this.#integer(indexed ? 0x3f : 0x0f);
    if (index < 0) return undefined;
    let name: string | undefined;
    if (index === 0) name = this.#string();
    else name = this.#fieldAt(index)?.name;
    const value = name === undefined ? undefined : this.#string();
    if (name === undefined || value === undefined) return undefined;
    const field = makeField(name, value);
    if (indexed) this.#insert(field);
    return field;
  }

  #insert(field: H2Field): void {
    this.#evict(this.#limitBytes - field.sizeBytes);
    if (field.sizeBytes > this.#limitBytes) return;
    this.#table[this.#next] = field;
    this.#next = (this.#next + 1) & (SLOTS - 1);
    this.#count++;
    this.#sizeBytes += field.sizeBytes;
  }

  /** Drops the oldest entries until the others fit, or none is left. */
  #evict(bytes: number): void {
    while (this.#count > 0 && this.#sizeBytes > bytes) {
      const slot = (this.#next - this.#count) & (SLOTS - 1);
      this.#sizeBytes -= this.#table[slot]?.sizeBytes ?? 0;
      this.#table[slot] = undefined;
      this.#count--;
    }
  }

  #resize(): boolean {
    const bytes = this.#integer(0x1f);
    if (bytes < 0 || bytes > TABLE_BYTES) return false;
    this.#limitBytes = bytes;
    this.#evict(bytes);
    return true;
  }

  /** RFC 7541 §5.1. @returns -1 when it is cut short or out of bounds */
  #integer(prefix: number): number {
    let value = (this.#bytes[this.#at++] ?? 0) & prefix;
    if (value < prefix) return value;
    for (let shift = 0; shift <= 21 && this.#at < this.#end; shift += 7) {
      const byte = this.#bytes[this.#at++] ?? 0;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value > MAX_INTEGER ? -1 : value;
    }
    return -1;
  }

  /** RFC 7541 §5.2. @returns undefined when it is cut short or its code is wrong */
  #string(): string | undefined {
    if (this.#at >= this.#end) return undefined;
    const coded = (this.#bytes[this.#at] ?? 0) >= 0x80;
    const length = this.#integer(0x7f);
    const start = this.#at;
    if (length < 0 || length > this.#end - start) return undefined;
    this.#at = start + length;
    if (!coded) return this.#bytes.toString("latin1", start, this.#at);
    const out = this.#scratchFor(Math.ceil((length * 8) / 5));
    const written = decodeHuffman(this.#bytes, start, this.#at, out);
    return written < 0 ? undefined : out.toString("latin1", 0, written);
  }

  /** Long strings are rare: their memory is not kept. */
  #scratchFor(lengthBytes: number): Buffer {
    if (lengthBytes > SCRATCH_BYTES) return Buffer.allocUnsafe(lengthBytes);
    if (this.#scratch.length === 0) this.#scratch = Buffer.allocUnsafe(SCRATCH_BYTES);
    return this.#scratch;
  }
}
