// Finds the empty line that ends a head or a trailer section, and keeps what came before it when
// the bytes come in pieces. Line ends are CRLF and nothing else (RFC 9112 §2.2 lets a recipient
// take a bare LF; two that differ in that are how requests are smuggled), no control bytes.

import { type H1Problem, h1Problem, malformed } from "./h1-head.ts";
import type { H1Limits } from "./h1-limits.ts";
import { CR, LF, skipRun, TEXT } from "./h1-syntax.ts";

/** What of the limits is used: a head starts with a longer or shorter line of its own. */
export type BlockKind = "request" | "response" | "trailers";

const FIRST_HELD_BYTES = 1024;

/** Collects one block at a time; `bytes`, `start` and `end` are its place after `take` found it. */
export class H1Block {
  readonly #limits: H1Limits;
  #bytes: Buffer;
  #start = 0;
  #end = 0;
  #problem: H1Problem | undefined;
  /** Bytes of an unfinished block, of which `#heldBytes` are used. */
  #held: Buffer | undefined;
  #heldBytes = 0;
  /** Scan position, start of its line and lines before it, from the start of the block. */
  #scanned = 0;
  #lineStart = 0;
  #lines = 0;
  /** One empty line before a request is passed over (RFC 9112 §2.2). */
  #skipped = false;

  constructor(limits: H1Limits) {
    this.#limits = limits;
    this.#bytes = EMPTY;
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  /** Of the block without an empty line before it. */
  get start(): number {
    return this.#start;
  }

  /** After the empty line that ends it. */
  get end(): number {
    return this.#end;
  }

  /** Why the bytes can be no block, after `take`. */
  get problem(): H1Problem | undefined {
    return this.#problem;
  }

  /** Whether a block has begun that has not ended. */
  get isPartial(): boolean {
    return this.#held !== undefined;
  }

  /**
   * Reads on until the block ends. What it has not seen the end of, it keeps a copy of.
   * @returns how many bytes of the view belong to the block; -1 when all do and more must come
   */
  take(kind: BlockKind, bytes: Buffer, start: number, end: number): number {
    if (this.#held === undefined) {
      const blockEnd = this.#scan(kind, bytes, start, end);
      if (blockEnd < 0) {
        if (this.#problem === undefined) this.#hold(kind, bytes, start, end);
        return -1;
      }
      return this.#found(bytes, start, blockEnd) - start;
    }
    const before = this.#heldBytes;
    const held = this.#hold(kind, bytes, start, end);
    const blockEnd = this.#scan(kind, held, 0, this.#heldBytes);
    if (blockEnd < 0) return -1;
    this.#held = undefined;
    this.#heldBytes = 0;
    return this.#found(held, 0, blockEnd) - before;
  }

  #found(bytes: Buffer, start: number, end: number): number {
    this.#bytes = bytes;
    this.#start = start + (this.#skipped ? 2 : 0);
    this.#end = end;
    this.#scanned = 0;
    this.#lineStart = 0;
    this.#lines = 0;
    this.#skipped = false;
    return end;
  }

  /** @returns where the block ends; -1 when it does not, or has a problem */
  #scan(kind: BlockKind, bytes: Buffer, start: number, end: number): number {
    const limit = Math.min(end, start + this.#limitOf(kind));
    let at = skipRun(TEXT, bytes, start + this.#scanned, limit);
    for (; at + 1 < limit; at = skipRun(TEXT, bytes, at + 2, limit)) {
      if (bytes[at] !== CR) return this.#refuse(malformed(controlByte(bytes[at])));
      if (bytes[at + 1] !== LF) return this.#refuse(malformed("a bare CR in a head"));
      const lineBytes = at - start - this.#lineStart;
      if (lineBytes === 0 && this.#endsAtEmptyLine(kind)) return at + 2;
      if (this.#problem !== undefined || this.#isTooLong(kind, lineBytes)) return -1;
      if (lineBytes > 0 && ++this.#lines > this.#linesOf(kind)) {
        return this.#refuse(tooLarge(kind, "too many field lines"));
      }
      this.#lineStart = at + 2 - start;
    }
    this.#scanned = at - start;
    if (at < limit && bytes[at] !== CR) return this.#refuse(malformed(controlByte(bytes[at])));
    if (this.#isTooLong(kind, at - start - this.#lineStart)) return -1;
    if (limit < end || limit - start === this.#limitOf(kind)) {
      return this.#refuse(tooLarge(kind, "a head that is too large"));
    }
    return -1;
  }

  #endsAtEmptyLine(kind: BlockKind): boolean {
    if (this.#lines > 0 || kind === "trailers") return true;
    if (kind === "request" && !this.#skipped) this.#skipped = true;
    else this.#refuse(malformed("an empty line for a first line"));
    return false;
  }

  #isTooLong(kind: BlockKind, lineBytes: number): boolean {
    const isStart = this.#lines === 0 && kind !== "trailers";
    const { startLineBytes, fieldLineBytes } = this.#limits;
    if (lineBytes <= (isStart ? startLineBytes : fieldLineBytes)) return false;
    if (!isStart) this.#refuse(tooLarge(kind, "a field line that is too long"));
    else if (kind === "request") this.#refuse(h1Problem(414, "a request line that is too long"));
    else this.#refuse(h1Problem(502, "a status line that is too long"));
    return true;
  }

  #linesOf(kind: BlockKind): number {
    return this.#limits.fieldLines + (kind === "trailers" ? 0 : 1);
  }

  #limitOf(kind: BlockKind): number {
    return kind === "trailers" ? this.#limits.trailerBytes : this.#limits.headBytes;
  }

  #refuse(problem: H1Problem): -1 {
    this.#problem ??= problem;
    this.#held = undefined;
    return -1;
  }

  /** Appends, up to the limit and one byte beyond, so that the scan sees what is too large. */
  #hold(kind: BlockKind, bytes: Buffer, start: number, end: number): Buffer {
    const room = this.#limitOf(kind) + 1 - this.#heldBytes;
    const count = Math.min(end - start, room);
    const needed = this.#heldBytes + count;
    let held = this.#held;
    if (held === undefined || held.length < needed) {
      const size = Math.max(FIRST_HELD_BYTES, needed, 2 * (held?.length ?? 0));
      const larger = Buffer.allocUnsafeSlow(size);
      held?.copy(larger, 0, 0, this.#heldBytes);
      held = larger;
    }
    bytes.copy(held, needed - count, start, start + count);
    this.#held = held;
    this.#heldBytes = needed;
    return held;
  }
}

const EMPTY = Buffer.alloc(0);

function controlByte(byte: number | undefined): string {
  if (byte === LF) return "a bare LF in a head";
  return byte === 0 ? "a NUL in a head" : "a control byte in a head";
}

function tooLarge(kind: BlockKind, why: string): H1Problem {
  return h1Problem(kind === "response" ? 502 : 431, why);
}
