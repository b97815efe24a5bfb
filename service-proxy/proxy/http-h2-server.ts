// A client's connection in HTTP/2: requests side by side, each a stream.

import { H2Connection } from "../../lib/http/h2-connection.ts";
import { H2_ERROR, type H2Problem } from "../../lib/http/h2-frame.ts";
import type { H2ServerHandler } from "../../lib/http/h2-handler.ts";
import type { H2RequestHead } from "../../lib/http/h2-head.ts";
import { DEFAULT_H2_LIMITS } from "../../lib/http/h2-limits.ts";
import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import type { Expiring } from "./deadlines.ts";
import { type H2Congestion, H2ServerStream } from "./http-h2-server-stream.ts";
import { HttpOutput } from "./http-output.ts";
import type { HttpParts } from "./http-parts.ts";
import type { HttpDoor } from "./http-routing.ts";

/** Without a stream. */
const IDLE_MS = 60_000;
/** Between two pieces of a body, before its request is answered. */
const BODY_MS = 300_000;
/** Of frames that the client does not read: until it has, none of it are read. */
const MOST_QUEUED_BYTES = 256 * 1024;
/** After the last frame, until the client has closed. */
const LINGER_MS = 2_000;

export class H2Server implements StreamOwner, H2Congestion, Expiring {
  deadlineMs: number;
  readonly #parts: HttpParts;
  readonly #door: HttpDoor;
  readonly #stream: ByteStream;
  readonly #output: HttpOutput;
  readonly #connection: H2Connection;
  readonly #onOver: () => void;
  readonly #streams = new Map<number, H2ServerStream>();
  readonly #congested = new Set<H2ServerStream>();
  #state: "open" | "draining" | "lingering" | "over" = "open";

  /** @param stream its events are told to this object from now on; nothing has been read of it */
  constructor(parts: HttpParts, door: HttpDoor, stream: ByteStream, onOver: () => void) {
    this.#parts = parts;
    this.#door = door;
    this.#stream = stream;
    this.#onOver = onOver;
    const output = new HttpOutput(parts.output, stream);
    this.#output = output;
    this.#connection = new H2Connection(
      { kind: "server", handler: this.#handler() },
      (bytes, start, end) => void output.write(bytes, start, end),
      DEFAULT_H2_LIMITS,
    );
    this.deadlineMs = parts.reactor.nowMs + IDLE_MS;
    parts.deadlines.add(this);
    this.#connection.start();
  }

  onData(bytes: Buffer, start: number, end: number): void {
    if (this.#state === "lingering") return;
    this.#connection.receive(bytes, start, end, this.#parts.reactor.nowMs);
    if (this.#stream.queuedBytes > MOST_QUEUED_BYTES) this.#stream.pause();
  }

  onEnd(): void {
    this.#close();
  }

  onDrained(): void {
    this.#stream.resume();
    for (const stream of this.#congested) {
      if (this.#stream.queuedBytes > 0) return;
      this.#congested.delete(stream);
      stream.onUncongested();
    }
  }

  onClosed(): void {
    this.#over();
  }

  onDeadline(nowMs: number): void {
    if (this.#state === "lingering") return this.#close();
    if (this.#streams.size === 0) return this.drain();
    for (const stream of this.#streams.values()) {
      if (stream.owesSinceMs + BODY_MS <= nowMs) stream.onTooSlow();
    }
    this.deadlineMs = nowMs + BODY_MS;
  }

  drain(): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    this.deadlineMs = this.#parts.reactor.nowMs + BODY_MS;
    this.#connection.drain();
  }

  /** Ends now. */
  abort(): void {
    this.#connection.goAway(H2_ERROR.noError);
    this.#close();
  }

  isCongested(stream: H2ServerStream): boolean {
    if (this.#stream.queuedBytes === 0) return false;
    this.#congested.add(stream);
    return true;
  }

  onStreamOver(streamId: number, stream: H2ServerStream): void {
    this.#streams.delete(streamId);
    this.#congested.delete(stream);
    if (this.#streams.size === 0 && this.#state === "open") {
      this.deadlineMs = this.#parts.reactor.nowMs + IDLE_MS;
    }
  }

  #handler(): H2ServerHandler {
    const streamOf = (id: number): H2ServerStream | undefined => this.#streams.get(id);
    return {
      onRequest: (id, head, endStream) => this.#onRequest(id, head, endStream),
      onData: (id, bytes, start, end, endStream) => {
        const stream = streamOf(id);
        if (stream === undefined) this.#connection.consumed(id, end - start);
        else stream.onData(bytes, start, end, endStream);
      },
      onTrailers: (id, fields) => streamOf(id)?.onRequestEnd(fields),
      onReset: (id) => {
        streamOf(id)?.onGone();
        this.#connection.release(id);
      },
      onWindow: (id) => streamOf(id)?.onWindow(),
      onGoAway: () => {},
      onPong: () => {},
      onClosed: (problem) => this.#onHttpClosed(problem),
    };
  }

  #onRequest(id: number, head: H2RequestHead, endStream: boolean): void {
    const stream = new H2ServerStream(this.#parts, this.#door, this.#connection, {
      id,
      congestion: this,
    });
    this.#streams.set(id, stream);
    if (this.#streams.size === 1) this.deadlineMs = this.#parts.reactor.nowMs + BODY_MS;
    stream.start(head, endStream);
  }

  /** All frames are written, the last GOAWAY too: the client must be able to read it. */
  #onHttpClosed(problem: H2Problem | undefined): void {
    if (this.#state === "over") return;
    this.#state = "lingering";
    this.deadlineMs = this.#parts.reactor.nowMs + LINGER_MS;
    if (problem !== undefined) this.#endStreams();
    this.#output.end();
  }

  #close(): void {
    if (this.#state === "over") return;
    this.#output.flush();
    this.#stream.close();
    this.#over();
  }

  #over(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#parts.deadlines.remove(this);
    this.#connection.goAway(H2_ERROR.noError);
    this.#endStreams();
    this.#onOver();
  }

  #endStreams(): void {
    for (const stream of this.#streams.values()) stream.onGone();
    this.#streams.clear();
  }
}
