// A client's connection in HTTP/1.1: one request after another. Requests that come early wait in
// the connection; where a response comes before its request is whole, the rest is read away.

import assert from "node:assert/strict";
import {
  CHUNK_END,
  chunkHeader,
  encodeLastChunk,
  encodeResponseHead,
} from "../../lib/http/h1-encode.ts";
import {
  type H1Body,
  type H1Problem,
  type H1RequestHead,
  NO_BODY,
} from "../../lib/http/h1-head.ts";
import { DEFAULT_H1_LIMITS } from "../../lib/http/h1-limits.ts";
import { H1Parser, REQUESTS } from "../../lib/http/h1-parser.ts";
import type { FieldLines } from "../../lib/http/message.ts";
import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import type { Expiring } from "./deadlines.ts";
import { countUnsent } from "./http-attempt.ts";
import type { ClientResponse, ClientStream } from "./http-client-stream.ts";
import { HttpExchange } from "./http-exchange.ts";
import { plainAnswer } from "./http-failure.ts";
import { frameResponse } from "./http-h1-framing.ts";
import { HeldBytes } from "./http-held-bytes.ts";
import { HttpOutput } from "./http-output.ts";
import type { HttpParts } from "./http-parts.ts";
import type { HttpDoor } from "./http-routing.ts";

const NOTHING_READ = { latencyMs: Number.NaN, receivedBytes: 0, sentBytes: 0 };
const NEVER = Number.POSITIVE_INFINITY;
/** Between requests. */
const IDLE_MS = 60_000;
/** The same while draining: who is active sends a request meanwhile, and is told to close. */
const DRAIN_IDLE_MS = 5_000;
/** From the first byte of a head to its last: a slow one holds a connection (slowloris). */
const HEAD_MS = 10_000;
/** Between two pieces of a body; until it is answered, pieces of so many bytes (slow body). */
const BODY_MS = 30_000;
const LEAST_BODY_BYTES = 1024;
/** After FIN, until the client has read what was sent: closing with unread bytes would reset. */
const LINGER_MS = 2_000;
/** Of a request that was answered already. */
const MOST_DISCARDED_BYTES = 256 * 1024;
/** Of answers that the client does not read: until it has, its next requests wait. */
const MOST_QUEUED_BYTES = 64 * 1024;
/** Then the client connects anew, to another worker maybe. */
const MOST_REQUESTS = 100_000;

/** What the connection is doing, which says how long it may take. */
type Phase = "idle" | "head" | "body" | "answer" | "lingering" | "closed";

export class H1Server implements StreamOwner, ClientStream, Expiring {
  readonly protocol = "http1";
  deadlineMs: number;
  readonly #parts: HttpParts;
  readonly #door: HttpDoor;
  readonly #stream: ByteStream;
  readonly #output: HttpOutput;
  readonly #onOver: () => void;
  readonly #parser = new H1Parser<H1RequestHead>(
    REQUESTS,
    {
      onHead: (head) => this.#onHead(head),
      onBody: (bytes, start, end) => this.#onBody(bytes, start, end),
      onEnd: (trailers) => this.#onRequestEnd(trailers),
    },
    DEFAULT_H1_LIMITS,
  );
  #phase: Phase = "idle";
  #exchange: HttpExchange | undefined;
  /** Of the request that is, or was last, answered. */
  #request: H1RequestHead | undefined;
  #requestWhole = true;
  #body: H1Body = NO_BODY;
  #responding = false;
  /** The response is out, whatever of its request is still to come. */
  #answered = false;
  #keepAlive = true;
  #continued = false;
  #blocked = false;
  #feeding = false;
  #draining = false;
  readonly #held: HeldBytes;
  #requests = 0;
  #discardedBytes = 0;
  /** Of the body, since its deadline moved. */
  #pieceBytes = 0;

  /** @param stream its events are told to this object from now on; nothing has been read of it */
  constructor(parts: HttpParts, door: HttpDoor, stream: ByteStream, onOver: () => void) {
    this.#parts = parts;
    this.#door = door;
    this.#stream = stream;
    this.#output = new HttpOutput(parts.output, stream);
    this.#held = new HeldBytes(parts.reactor);
    this.#onOver = onOver;
    this.deadlineMs = parts.reactor.nowMs + IDLE_MS;
    parts.deadlines.add(this);
  }

  onData(bytes: Buffer, start: number, end: number): void {
    if (this.#phase === "lingering" || this.#phase === "closed") return;
    this.#feeding = true;
    const taken = this.#parser.feed(bytes, start, end);
    this.#feeding = false;
    this.#afterFeed(bytes, start + taken, end);
  }

  onEnd(): void {
    if (this.#phase === "lingering") return this.#close();
    const isTunnel = this.#parser.state === "tunnel";
    this.#parser.eof();
    // In a tunnel each direction ends by itself; else nobody waits for an answer any more.
    if (isTunnel) return;
    this.#clientGone("cancelled");
    this.#close();
  }

  onDrained(): void {
    this.#exchange?.onClientDrained();
    this.#pump();
  }

  onClosed(): void {
    this.#clientGone("cancelled");
    this.#over();
  }

  onDeadline(): void {
    if (this.#phase === "lingering") return this.#close();
    if (this.#phase === "idle") return this.#linger();
    this.#clientGone("bad-request");
    this.#refuse(408, "the request took too long");
  }

  /** A request that is on its way is answered, as the last one; without one it ends soon. */
  drain(): void {
    this.#draining = true;
    if (this.#phase === "idle") this.deadlineMs = this.#parts.reactor.nowMs + DRAIN_IDLE_MS;
  }

  /** Ends now. */
  abort(): void {
    this.#clientGone("cancelled");
    if (this.#phase === "closed") return;
    this.#stream.reset();
    this.#over();
  }

  respond(head: ClientResponse, body: H1Body): void {
    const request = this.#request;
    assert(request !== undefined, "a response answers a request");
    const { version } = request;
    if (head.status < 200 && head.status !== 101) {
      if (version === "1.0") return;
      if (head.status === 100) this.#continued = true;
      return this.#output.text(encodeResponseHead(head, { body, keepAlive: true, version }));
    }
    this.#responding = true;
    this.#body = frameResponse(body, head.status, request);
    // A client that waits for 100 may or may not send its body after another answer.
    const isUnsure = request.expectContinue && !this.#continued && !this.#requestWhole;
    const isLast = this.#draining || isUnsure || this.#requests >= MOST_REQUESTS;
    const keepAlive = request.keepAlive && !isLast;
    this.#keepAlive = keepAlive && this.#body.kind !== "until-close" && body.kind !== "tunnel";
    this.#output.text(encodeResponseHead(head, { body: this.#body, keepAlive, version }));
    if (body.kind !== "tunnel") return;
    this.#parser.settleSwitch("tunnel");
    this.#setPhase("answer");
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    switch (this.#body.kind) {
      case "none":
        return true;
      case "chunked": {
        this.#output.text(chunkHeader(end - start));
        const goesOn = this.#output.write(bytes, start, end);
        this.#output.text(CHUNK_END);
        return goesOn;
      }
      default:
        return this.#output.write(bytes, start, end);
    }
  }

  end(trailers: FieldLines): void {
    if (this.#body.kind === "chunked") this.#output.text(encodeLastChunk(trailers));
    this.#exchange = undefined;
    this.#responding = false;
    this.#answered = true;
    // Nobody is left to resume what was paused for an endpoint that answered early.
    this.#blocked = false;
    if (!this.#keepAlive) return this.#linger();
    if (this.#requestWhole) this.#next();
    else this.#pump();
  }

  pause(): void {
    this.#blocked = true;
    this.#pump();
  }

  resume(): void {
    if (!this.#blocked && this.#parser.state !== "tunnel") return;
    this.#blocked = false;
    this.#pump();
  }

  #onHead(head: H1RequestHead): void {
    if (this.#phase === "lingering" || this.#phase === "closed") return;
    this.#request = head;
    this.#requestWhole = false;
    this.#answered = false;
    this.#continued = false;
    this.#discardedBytes = 0;
    this.#requests++;
    this.#setPhase("body");
    const { body, expectContinue } = head;
    this.#exchange = new HttpExchange(this.#parts, this.#door, this, {
      head,
      body,
      expectContinue,
    });
    this.#exchange.start();
  }

  #onBody(bytes: Buffer, start: number, end: number): void {
    this.#pieceBytes += end - start;
    if (this.#exchange !== undefined) return this.#exchange.onRequestBody(bytes, start, end);
    this.#discardedBytes += end - start;
    if (this.#discardedBytes > MOST_DISCARDED_BYTES) this.#linger();
  }

  #onRequestEnd(trailers: FieldLines): void {
    if (this.#phase === "lingering" || this.#phase === "closed") return;
    this.#requestWhole = true;
    if (this.#exchange === undefined) return this.#next();
    this.#setPhase("answer");
    this.#exchange.onRequestEnd(trailers);
    this.#pump();
  }

  #afterFeed(bytes: Buffer, start: number, end: number): void {
    if (this.#phase === "lingering" || this.#phase === "closed") return;
    const { problem, state } = this.#parser;
    if (problem !== undefined) return this.#onProblem(problem);
    if (start < end) {
      this.#held.hold(bytes, start, end);
      this.#stream.pause();
    }
    if (state === "head") this.#setPhase("head");
    else if (this.#phase === "body") this.#bodyMoved();
  }

  #bodyMoved(): void {
    if (this.#pieceBytes < LEAST_BODY_BYTES && !this.#responding) return;
    this.#pieceBytes = 0;
    this.deadlineMs = this.#parts.reactor.nowMs + BODY_MS;
  }

  /** Ready for another request. */
  #next(): void {
    if (this.#parser.state === "switching") this.#parser.settleSwitch("http");
    this.#setPhase("idle");
    this.#pump();
  }

  /** Reads what may be read now: of this request, or of the next once this one is answered. */
  #pump(): void {
    if (this.#phase === "lingering" || this.#phase === "closed") return;
    const isBody = !this.#requestWhole || this.#parser.state === "tunnel";
    const isFull = this.#stream.queuedBytes > MOST_QUEUED_BYTES;
    const reads = isBody ? !this.#blocked : this.#exchange === undefined && !isFull;
    if (this.#phase === "body") {
      this.deadlineMs = this.#blocked ? NEVER : this.#parts.reactor.nowMs + BODY_MS;
    }
    if (!reads) this.#parser.pause();
    else {
      this.#parser.resume();
      if (this.#feeding) return;
      const held = this.#held.take();
      if (held !== undefined) this.onData(held, 0, held.length);
    }
    if (this.#blocked || !this.#held.isEmpty) this.#stream.pause();
    else this.#stream.resume();
  }

  #onProblem({ status, why }: H1Problem): void {
    if (this.#exchange === undefined) {
      const { client, service } = this.#door;
      const names = { source: client.source, service, route: "" };
      countUnsent(this.#parts, names, "bad-request", NOTHING_READ);
    }
    this.#clientGone("bad-request");
    this.#refuse(status, why);
  }

  /** Says why, where nothing has been said yet, and closes. */
  #refuse(status: number, why: string): void {
    if (this.#phase === "closed") return;
    if (this.#responding) return this.abort();
    // One request, one response: a second one would answer the next request.
    if (this.#answered && !this.#requestWhole) return this.#linger();
    const { text, fields } = plainAnswer(status, why);
    const body: H1Body = { kind: "length", lengthBytes: text.length };
    const framing = { body, keepAlive: false, version: "1.1" } as const;
    this.#output.text(encodeResponseHead({ status, fields }, framing) + text);
    this.#linger();
  }

  #clientGone(why: "cancelled" | "bad-request"): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    exchange?.onClientGone(why);
  }

  /** FIN, and then the client's. */
  #linger(): void {
    if (this.#phase === "lingering" || this.#phase === "closed") return;
    this.#setPhase("lingering");
    this.#held.take();
    this.#parser.pause();
    this.#output.end();
    this.#stream.resume();
  }

  #close(): void {
    if (this.#phase === "closed") return;
    this.#output.flush();
    this.#stream.close();
    this.#over();
  }

  #over(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#held.take();
    this.#parts.deadlines.remove(this);
    this.#onOver();
  }

  #setPhase(phase: Phase): void {
    if (this.#phase === phase) return;
    this.#phase = phase;
    const limitMs = PHASE_MS[phase];
    this.deadlineMs = this.#parts.reactor.nowMs + limitMs;
  }
}

const PHASE_MS: Readonly<Record<Phase, number>> = {
  idle: IDLE_MS,
  head: HEAD_MS,
  body: BODY_MS,
  // The exchange has limits of its own.
  answer: NEVER,
  lingering: LINGER_MS,
  closed: NEVER,
};
