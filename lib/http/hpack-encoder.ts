// The writing side of HPACK (RFC 7541). Only values of names that are known to hold no secret enter
// the table, and only when they come a second time; all other names are marked never-indexed, which
// also keeps the mark of fields that arrived with it (§6.2.3, §7.1). Strings go out without Huffman
// coding: the next hop is near, and bytes cost less there than the coding does.

import { TABLE_BYTES } from "./hpack-decoder.ts";
import { STATIC_FIELDS, STATIC_NAME_INDEX } from "./hpack-static-table.ts";

const INDEXABLE: ReadonlySet<string> = new Set(
  (
    ":authority :method :path :protocol :scheme :status accept accept-encoding accept-language " +
    "accept-ranges access-control-allow-credentials access-control-allow-headers " +
    "access-control-allow-methods access-control-allow-origin cache-control content-encoding " +
    "content-language content-type date grpc-accept-encoding grpc-encoding grpc-status server " +
    "strict-transport-security te user-agent vary via x-content-type-options x-forwarded-for " +
    "x-forwarded-host x-forwarded-port x-forwarded-proto"
  ).split(" "),
);

/** Values of the static table by name, each with its index, negated. */
const STATIC_VALUES = Map.groupBy(
  STATIC_FIELDS.flatMap(({ value }, at) => (value === "" ? [] : [[value, -1 - at] as const])),
  ([, negated]) => STATIC_FIELDS[-1 - negated]?.name ?? "",
);

const FIRST_DYNAMIC_INDEX = STATIC_FIELDS.length + 1;
const ENTRY_OVERHEAD_BYTES = 32;
/** Values of one name that are remembered until they come again. */
const SIGHTED_VALUES = 4;
/** Longer values would push out too much of the table. */
const MAX_INDEXED_BYTES = 256;
const INITIAL_BYTES = 1024;
/** A buffer that grew beyond this is not kept for the next block. */
const KEPT_BYTES = 4096;
/** Octets of a prefix and an integer, twice. */
const FRAMING_BYTES = 16;

/** One indexable name: where its values are. */
interface NameSlot {
  readonly staticIndex: number;
  /** A value's static index, negated, or the number of its insertion. */
  readonly values: Map<string, number>;
  readonly sighted: string[];
  nextSighted: number;
}

interface Entry {
  readonly slot: NameSlot;
  readonly value: string;
  readonly sizeBytes: number;
}

/** Owns the buffer that blocks are written into; it is good until the next `begin`. */
export class HpackEncoder {
  readonly #slots = new Map<string, NameSlot>();
  readonly #entries: Entry[] = [];
  /** Insertions so far; the newest entry has the number below. */
  #inserted = 0;
  #sizeBytes = 0;
  #limitBytes = TABLE_BYTES;
  /** What the peer must be told before the next field: the lowest limit since, and the last one. */
  #lowestLimitBytes: number | undefined;
  #bytes: Buffer = Buffer.allocUnsafe(INITIAL_BYTES);
  #at = 0;

  /** Where blocks are written; another one after any field. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /** Where the block ends. */
  get end(): number {
    return this.#at;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE; more than our own bound is not used. */
  limitTable(peerBytes: number): void {
    const bytes = Math.min(peerBytes, TABLE_BYTES);
    if (bytes === this.#limitBytes) return;
    this.#lowestLimitBytes = Math.min(bytes, this.#lowestLimitBytes ?? bytes);
    this.#limitBytes = bytes;
    this.#evict(bytes);
  }

  /** Starts a block at offset `at`; what stands before is the caller's. */
  begin(at: number): void {
    if (this.#bytes.length > KEPT_BYTES) this.#bytes = Buffer.allocUnsafe(INITIAL_BYTES);
    this.#at = at;
    if (this.#lowestLimitBytes === undefined) return;
    if (this.#lowestLimitBytes < this.#limitBytes)
      this.#integer(0x20, 0x1f, this.#lowestLimitBytes);
    this.#integer(0x20, 0x1f, this.#limitBytes);
    this.#lowestLimitBytes = undefined;
  }

  /**
   * Adds a field.
   * @param name lower-case
   * @param value latin1, as a decoder let it through
   */
  field(name: string, value: string): void {
    this.#reserve(name.length + value.length + FRAMING_BYTES);
    const slot = this.#slotOf(name);
    if (slot === undefined) {
      this.#literal(0x10, 0x0f, STATIC_NAME_INDEX.get(name) ?? 0, name, value);
      return;
    }
    const known = slot.values.get(value);
    if (known !== undefined) {
      const index = known < 0 ? -known : FIRST_DYNAMIC_INDEX + this.#inserted - 1 - known;
      this.#integer(0x80, 0x7f, index);
    } else if (this.#isWorthAnEntry(slot, name, value)) {
      this.#literal(0x40, 0x3f, slot.staticIndex, name, value);
      this.#insert(slot, name, value);
    } else {
      this.#literal(0, 0x0f, slot.staticIndex, name, value);
    }
  }

  #slotOf(name: string): NameSlot | undefined {
    const slot = this.#slots.get(name);
    if (slot !== undefined || !INDEXABLE.has(name)) return slot;
    const made: NameSlot = {
      staticIndex: STATIC_NAME_INDEX.get(name) ?? 0,
      values: new Map(STATIC_VALUES.get(name)),
      sighted: [],
      nextSighted: 0,
    };
    this.#slots.set(name, made);
    return made;
  }

  /** Queries may hold secrets. */
  #isWorthAnEntry(slot: NameSlot, name: string, value: string): boolean {
    if (slot.sighted.includes(value)) return true;
    if (value.length > MAX_INDEXED_BYTES || (name === ":path" && value.includes("?"))) return false;
    slot.sighted[slot.nextSighted] = value;
    slot.nextSighted = (slot.nextSighted + 1) % SIGHTED_VALUES;
    return false;
  }

  #insert(slot: NameSlot, name: string, value: string): void {
    const sizeBytes = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    this.#evict(this.#limitBytes - sizeBytes);
    if (sizeBytes > this.#limitBytes) return;
    this.#entries.push({ slot, value, sizeBytes });
    slot.values.set(value, this.#inserted++);
    this.#sizeBytes += sizeBytes;
  }

  /** Drops the oldest entries until the others fit, or none is left. */
  #evict(bytes: number): void {
    while (this.#sizeBytes > bytes) {
      const oldest = this.#entries.shift();
      if (oldest === undefined) return;
      oldest.slot.values.delete(oldest.value);
      this.#sizeBytes -= oldest.sizeBytes;
    }
  }

  #literal(kind: number, prefix: number, index: number, name: string, value: string): void {
    this.#integer(kind, prefix, index);
    if (index === 0) this.#string(name);
    this.#string(value);
  }

  #string(text: string): void {
    const length = text.length;
    this.#integer(0, 0x7f, length);
    this.#bytes.write(text, this.#at, length, "latin1");
    this.#at += length;
  }

  /** RFC 7541 §5.1. */
  #integer(kind: number, prefix: number, value: number): void {
    const bytes = this.#bytes;
    if (value < prefix) {
      bytes[this.#at++] = kind | value;
      return;
    }
    bytes[this.#at++] = kind | prefix;
    let rest = value - prefix;
    for (; rest >= 0x80; rest >>>= 7) bytes[this.#at++] = (rest & 0x7f) | 0x80;
    bytes[this.#at++] = rest;
  }

  #reserve(lengthBytes: number): void {
    if (this.#at + lengthBytes <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe((this.#at + lengthBytes) * 2);
    this.#bytes.copy(grown, 0, 0, this.#at);
    this.#bytes = grown;
  }
}
