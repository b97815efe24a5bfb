// Reads dumps in place, by offset: a table of 250,000 flows passes through here, and `message.ts`
// with `attribute.ts` would make some twenty objects of each. Total: any bytes are met without
// throwing. Headers are in host order, little-endian on both platforms we run on.

import { NLM_F_DUMP_INTR } from "./message.ts";

const HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
const ATTRIBUTE_TYPE_MASK = 0x3fff; // above are NESTED and NET_BYTEORDER
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;

/** Bytes from `start` up to `end`. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** What one read said about the dump it belongs to. */
export interface DumpProgress {
  /** The table changed under the dump: it may have missed something and must be asked again. */
  readonly interrupted: boolean;
  /** Messages that could not be read and were left out. */
  readonly malformed: number;
  /** The last message of an answer: errno 0 is success. */
  readonly end?: { readonly errno: number };
}

/**
 * Visits the messages of one request; those of others belong to a request that was given up.
 * @param visit gets the type and the payload; false means unreadable
 */
export function readMessages(
  view: DataView,
  sequence: number,
  visit: (type: number, payload: Range) => boolean,
): DumpProgress {
  let interrupted = false;
  let malformed = 0;
  for (let at = 0; at < view.byteLength; ) {
    const length = at + HEADER_BYTES <= view.byteLength ? view.getUint32(at, true) : 0;
    const end = at + length;
    if (length < HEADER_BYTES || end > view.byteLength) {
      return { interrupted, malformed: malformed + 1 };
    }
    if (view.getUint32(at + 8, true) === sequence) {
      const type = view.getUint16(at + 4, true);
      if ((view.getUint16(at + 6, true) & NLM_F_DUMP_INTR) !== 0) interrupted = true;
      const payload = { start: at + HEADER_BYTES, end };
      if (type === NLMSG_DONE || type === NLMSG_ERROR) {
        return { interrupted, malformed, end: { errno: errnoAt(view, payload) } };
      }
      if (!visit(type, payload)) malformed++;
    }
    at = end + (-length & 3);
  }
  return { interrupted, malformed };
}

/**
 * Finds the first attribute of a type.
 * @returns where its value starts; -1 when absent or shorter than `minimumBytes`
 */
export function attributeAt(
  view: DataView,
  range: Range,
  type: number,
  minimumBytes: number,
): number {
  for (let at = range.start; at + ATTRIBUTE_HEADER_BYTES <= range.end; ) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER_BYTES || at + length > range.end) return -1;
    if ((view.getUint16(at + 2, true) & ATTRIBUTE_TYPE_MASK) === type) {
      const enough = length >= ATTRIBUTE_HEADER_BYTES + minimumBytes;
      return enough ? at + ATTRIBUTE_HEADER_BYTES : -1;
    }
    at += (length + 3) & ~3;
  }
  return -1;
}

/** The value of the first attribute of a type, as a range; undefined when absent. */
export function attributeRange(view: DataView, range: Range, type: number): Range | undefined {
  const start = attributeAt(view, range, type, 0);
  if (start < 0) return undefined;
  const header = start - ATTRIBUTE_HEADER_BYTES;
  return { start, end: header + view.getUint16(header, true) };
}

/** Netlink sends errno negated; a cut-off answer counts as EIO. */
function errnoAt(view: DataView, { start, end }: Range): number {
  return start + 4 > end ? 5 : -view.getInt32(start, true) | 0;
}
