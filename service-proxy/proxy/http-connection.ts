// A client's connection to a port that speaks HTTP: its first bytes say which version. Clients
// speak first in both.

import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import type { Expiring } from "./deadlines.ts";
import { H1Server } from "./http-h1-server.ts";
import { H2Server } from "./http-h2-server.ts";
import type { HttpParts } from "./http-parts.ts";
import type { HttpDoor } from "./http-routing.ts";

/** The first line of HTTP/2's preface (RFC 9113 §3.4): no request of HTTP/1.1 begins so. */
const PREFACE_LINE = Buffer.from("PRI * HTTP/2.0\r\n", "latin1");
/** Until the first byte. */
const SILENT_MS = 60_000;
/** Until the version is clear. */
const PREFACE_MS = 10_000;

export class HttpConnection implements StreamOwner, Expiring {
  deadlineMs: number;
  readonly #parts: HttpParts;
  readonly #door: HttpDoor;
  readonly #stream: ByteStream;
  readonly #onEnd: () => void;
  #seen: Buffer = Buffer.alloc(0);
  #server: H1Server | H2Server | undefined;
  #draining = false;
  #over = false;

  /**
   * @param stream accepted, and paused
   * @param onEnd called once, when the connection is gone
   */
  constructor(parts: HttpParts, door: HttpDoor, stream: ByteStream, onEnd: () => void) {
    this.#parts = parts;
    this.#door = door;
    this.#stream = stream;
    this.#onEnd = onEnd;
    this.deadlineMs = parts.reactor.nowMs + SILENT_MS;
    parts.deadlines.add(this);
    stream.owner = this;
    stream.resume();
  }

  onData(bytes: Buffer, start: number, end: number): void {
    const { length } = this.#seen;
    const isPreface = PREFACE_LINE.subarray(length, length + end - start).equals(
      bytes.subarray(start, Math.min(end, start + PREFACE_LINE.length - length)),
    );
    if (isPreface && length + end - start < PREFACE_LINE.length) {
      if (length === 0) this.deadlineMs = this.#parts.reactor.nowMs + PREFACE_MS;
      this.#seen = Buffer.concat([this.#seen, bytes.subarray(start, end)]);
      return;
    }
    this.#parts.deadlines.remove(this);
    const Server = isPreface ? H2Server : H1Server;
    const server = new Server(this.#parts, this.#door, this.#stream, () => this.#ended());
    this.#server = server;
    this.#stream.owner = server;
    if (length > 0) server.onData(this.#seen, 0, length);
    if (!this.#over) server.onData(bytes, start, end);
    if (this.#draining) server.drain();
  }

  onEnd(): void {
    this.abort();
  }

  onDrained(): void {}

  onClosed(): void {
    this.#ended();
  }

  onDeadline(): void {
    this.abort();
  }

  /** Ends as soon as it can without loss: a request may be on its way. */
  drain(): void {
    this.#draining = true;
    this.#server?.drain();
  }

  /** Ends now. */
  abort(): void {
    if (this.#server !== undefined) return this.#server.abort();
    this.#stream.close();
    this.#ended();
  }

  #ended(): void {
    if (this.#over) return;
    this.#over = true;
    this.#parts.deadlines.remove(this);
    this.#onEnd();
  }
}
