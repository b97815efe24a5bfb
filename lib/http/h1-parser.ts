// One direction of an HTTP/1.1 connection: bytes in, events out, no I/O (RFC 9112). The same class
// reads requests and responses; a role says how their heads are read.

import assert from "node:assert/strict";
import { H1Block } from "./h1-block.ts";
import { ChunkLine } from "./h1-chunk-line.ts";
import { NO_FIELDS, readFields, trailersOf } from "./h1-fields.ts";
import type { AskedBy } from "./h1-framing.ts";
import {
  type H1Body,
  type H1Problem,
  type H1RequestHead,
  type H1ResponseHead,
  h1Problem,
  malformed,
} from "./h1-head.ts";
import type { H1Limits } from "./h1-limits.ts";
import { type HeadBytes, readRequestHead } from "./h1-request.ts";
import { readResponseHead } from "./h1-response.ts";
import { type H1Event, type H1State, nextState } from "./h1-state.ts";
import { CR, LF } from "./h1-syntax.ts";
import type { FieldLines } from "./message.ts";

/** Hears of messages while `feed` runs, in order. May pause the parser, never feed it. */
export interface H1Handler<Head> {
  onHead(head: Head): void;
  /** Decoded body bytes [start, end): a view that is valid during the call only. */
  onBody(bytes: Buffer, start: number, end: number): void;
  /** The message is complete. Not called after interim responses. */
  onEnd(trailers: FieldLines): void;
}

/** What differs between the two sides of a connection. */
export interface H1Role<Head> {
  readonly kind: "request" | "response";
  readHead(head: HeadBytes, limits: H1Limits, asked: AskedBy | undefined): Head | H1Problem;
}

export const REQUESTS: H1Role<H1RequestHead> = { kind: "request", readHead: readRequestHead };

export const RESPONSES: H1Role<H1ResponseHead> = {
  kind: "response",
  readHead: (head, limits, asked) =>
    asked === undefined
      ? h1Problem(502, "a response that nobody asked for")
      : readResponseHead(head, limits, asked),
};

/**
 * Parses what one peer sends. Input never makes it throw: after a violation `problem` is set, no
 * further event comes, and the connection must be closed after what `problem.status` says.
 */
export class H1Parser<Head extends H1RequestHead | H1ResponseHead> {
  readonly #role: H1Role<Head>;
  readonly #handler: H1Handler<Head>;
  readonly #limits: H1Limits;
  readonly #block: H1Block;
  readonly #chunkLine: ChunkLine;
  #state: H1State = "idle";
  #paused = false;
  #problem: H1Problem | undefined;
  #asked: AskedBy | undefined;
  #interims = 0;
  /** Of the message being read. */
  #keepAlive = true;
  /** Left of a body of known length or of a chunk; in `chunk-end`, of the CRLF behind it. */
  #bytesLeft = 0;

  constructor(role: H1Role<Head>, handler: H1Handler<Head>, limits: H1Limits) {
    this.#role = role;
    this.#handler = handler;
    this.#limits = limits;
    this.#block = new H1Block(limits);
    this.#chunkLine = new ChunkLine(limits.chunkExtensionBytes);
  }

  get state(): H1State {
    return this.#state;
  }

  get problem(): H1Problem | undefined {
    return this.#problem;
  }

  /** Stops the consuming of bytes, from inside a callback or outside. */
  pause(): void {
    this.#paused = true;
  }

  /** Lets the next `feed` read on. */
  resume(): void {
    this.#paused = false;
  }

  /**
   * Tells which request the next response answers: before its first byte, one at a time.
   * Without it a response is a violation (a backend that answers twice poisons the connection).
   */
  expectResponseTo(request: AskedBy): void {
    assert(this.#role.kind === "response" && this.#asked === undefined, "one at a time");
    this.#asked = request;
    this.#interims = 0;
  }

  /**
   * Says what follows a CONNECT or an upgrade that this parser has read: after 101, or 2xx to a
   * CONNECT, a tunnel, whose bytes are all body; else HTTP as before. Until then none are consumed.
   */
  settleSwitch(to: "tunnel" | "http"): void {
    if (this.#state === "closed") return;
    if (to === "tunnel") this.#move("tunnel");
    else this.#move(this.#keepAlive ? "done" : "last");
  }

  /**
   * Reads [start, end) of a buffer that may be overwritten afterwards.
   * @returns how many bytes were consumed: fewer only when paused, switching, or refused; the owner
   * keeps the others and feeds them later
   */
  feed(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && !this.#paused) {
      const before = at;
      at = this.#step(bytes, at, end);
      if (at === before && (this.#state === "refused" || this.#state === "switching")) break;
    }
    return at - start;
  }

  /** The peer has closed, and all its bytes were consumed. A message cut short is a problem. */
  eof(): void {
    const wasOpen = this.#state === "until-close" || this.#state === "tunnel";
    this.#move("eof");
    if (wasOpen) this.#handler.onEnd(NO_FIELDS);
    else if (this.#state === "refused") {
      this.#problem ??= this.#problemHere("a message that was cut short");
    }
  }

  /** Reads on from one place; @returns the next */
  #step(bytes: Buffer, at: number, end: number): number {
    switch (this.#state) {
      case "idle":
      case "head":
        return this.#readHead(bytes, at, end);
      case "length":
      case "chunk-data":
        return this.#readCounted(bytes, at, end);
      case "chunk-line":
        return this.#readChunkLine(bytes, at, end);
      case "chunk-end":
        return this.#readChunkEnd(bytes, at);
      case "trailers":
        return this.#readTrailers(bytes, at, end);
      case "until-close":
      case "tunnel":
        this.#handler.onBody(bytes, at, end);
        return end;
      case "closed":
        return end;
      case "switching":
      case "refused":
        return at;
      default:
        return this.#state satisfies never;
    }
  }

  #readHead(bytes: Buffer, at: number, end: number): number {
    const block = this.#block;
    const taken = block.take(this.#role.kind, bytes, at, end);
    if (taken < 0) {
      if (block.problem !== undefined) return this.#refuse(block.problem, at);
      this.#move("part");
      return end;
    }
    const head = this.#role.readHead(block, this.#limits, this.#asked);
    if (head.kind === "problem") return this.#refuse(head, at);
    if (head.kind === "response" && head.status < 200 && head.status !== 101) {
      if (++this.#interims > this.#limits.interimResponses) {
        return this.#refuse(h1Problem(502, "too many interim responses"), at);
      }
      this.#move("interim");
      this.#handler.onHead(head);
      return at + taken;
    }
    this.#asked = undefined;
    this.#keepAlive = head.keepAlive;
    this.#startBody(head, head.body);
    return at + taken;
  }

  #startBody(head: Head, body: H1Body): void {
    if (body.kind === "none" || (body.kind === "length" && body.lengthBytes === 0)) {
      this.#handler.onHead(head);
      if (head.kind === "request" && asksSwitch(head)) this.#end("ask-switch", NO_FIELDS);
      else this.#endMessage(NO_FIELDS);
      return;
    }
    if (body.kind === "length") this.#bytesLeft = body.lengthBytes;
    else if (body.kind === "chunked") this.#chunkLine.startMessage();
    this.#move(body.kind);
    this.#handler.onHead(head);
  }

  #readCounted(bytes: Buffer, at: number, end: number): number {
    const to = Math.min(end, at + this.#bytesLeft);
    this.#bytesLeft -= to - at;
    const isLast = this.#bytesLeft === 0;
    this.#handler.onBody(bytes, at, to);
    if (isLast && this.#state === "length") this.#endMessage(NO_FIELDS);
    else if (isLast) {
      this.#bytesLeft = 2;
      this.#move("chunk-data");
    }
    return to;
  }

  #readChunkLine(bytes: Buffer, at: number, end: number): number {
    const line = this.#chunkLine;
    const to = line.take(bytes, at, end);
    if (to < 0) return line.problem === undefined ? end : this.#refuse(line.problem, at);
    this.#bytesLeft = line.sizeBytes;
    this.#move(line.sizeBytes === 0 ? "last-chunk" : "chunk");
    return to;
  }

  #readChunkEnd(bytes: Buffer, at: number): number {
    if (bytes[at] !== (this.#bytesLeft === 2 ? CR : LF)) {
      return this.#refuse(malformed("a chunk longer than its size"), at);
    }
    if (--this.#bytesLeft === 0) this.#move("chunk-end");
    return at + 1;
  }

  #readTrailers(bytes: Buffer, at: number, end: number): number {
    const block = this.#block;
    const taken = block.take("trailers", bytes, at, end);
    if (taken < 0) return block.problem === undefined ? end : this.#refuse(block.problem, at);
    if (block.end - block.start === 2) {
      this.#endMessage(NO_FIELDS);
      return at + taken;
    }
    const text = block.bytes.toString("latin1", block.start, block.end);
    const section = readFields(block, block.start, text, block.start, this.#limits);
    if (section.kind === "problem") return this.#refuse(section, at);
    const trailers = trailersOf(section);
    if ("kind" in trailers) return this.#refuse(trailers, at);
    this.#endMessage(trailers);
    return at + taken;
  }

  #endMessage(trailers: FieldLines): void {
    this.#end(this.#keepAlive ? "done" : "last", trailers);
  }

  #end(event: "done" | "last" | "ask-switch", trailers: FieldLines): void {
    this.#move(event);
    this.#handler.onEnd(trailers);
  }

  #move(event: H1Event): void {
    const next = nextState(this.#state, event);
    assert(next !== undefined, event);
    this.#state = next;
  }

  #refuse(problem: H1Problem, at: number): number {
    this.#problem = this.#problemHere(problem.why, problem.status);
    this.#move("violation");
    return at;
  }

  /** Whatever a backend does wrong is 502 to the client. */
  #problemHere(why: string, status: H1Problem["status"] = 400): H1Problem {
    return h1Problem(this.#role.kind === "response" ? 502 : status, why);
  }
}

function asksSwitch(head: H1RequestHead): boolean {
  return head.method === "CONNECT" || head.upgrade !== undefined;
}
