// A connection between two pods' nodes that carries their pods' connections: HTTP/2 over what has
// been secured, at either end. Finds out when the other end is gone.

import { H2Connection } from "../../lib/http/h2-connection.ts";
import { H2_ERROR, type H2Problem } from "../../lib/http/h2-frame.ts";
import type { H2ClientHandler, H2Handler, H2ServerHandler } from "../../lib/http/h2-handler.ts";
import type { H2RequestHead, H2ResponseHead } from "../../lib/http/h2-head.ts";
import type { RequestHead } from "../../lib/http/message.ts";
import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import type { Reactor } from "../../lib/reactor/reactor.ts";
import {
  DEAD_AFTER_SWEEPS,
  LINGER_SWEEPS,
  MOST_QUEUED_BYTES,
  PING_AFTER_SWEEPS,
  TUNNEL_H2_LIMITS,
} from "./tunnel-limits.ts";
import type { OutputBuffer } from "../../lib/reactor/output-buffer.ts";
import { TunnelOutput } from "./tunnel-output.ts";
import type { StreamCarrier, TunnelStream } from "./tunnel-stream.ts";

export type SessionRole =
  | {
      readonly kind: "client";
      /** Something ended or came: there may be room for another stream. */
      readonly onRoom: () => void;
      /** The server never saw it, or nobody knows; nothing was sent: it may go elsewhere. */
      readonly onRefused: (stream: TunnelStream) => void;
    }
  | {
      readonly kind: "server";
      /** To be answered by `accept` or `refuse`. */
      readonly onRequest: (streamId: number, head: H2RequestHead) => void;
    };

export interface SessionParts {
  readonly reactor: Reactor;
  readonly frames: OutputBuffer;
  /** Counts bytes of streams. */
  readonly moved: (receivedBytes: number, sentBytes: number) => void;
  /** Called once: it is closed, and all its streams ended. */
  readonly onOver: () => void;
}

type State = "open" | "retired" | "lingering" | "over";

export class TunnelSession implements StreamOwner, StreamCarrier {
  readonly connection: H2Connection;
  readonly #parts: SessionParts;
  readonly #role: SessionRole;
  readonly #outer: ByteStream;
  readonly #output: TunnelOutput;
  readonly #streams = new Map<number, TunnelStream>();
  #congested = new Set<TunnelStream>();
  #isFull = false;
  #state: State = "open";
  #silentSweeps = 0;
  #lingerSweeps = 0;

  /** @param outer open; it is this object's from now on */
  constructor(parts: SessionParts, outer: ByteStream, role: SessionRole) {
    this.#parts = parts;
    this.#role = role;
    this.#outer = outer;
    const output = new TunnelOutput(parts.frames, outer, (isClear) => this.#onWritten(isClear));
    this.#output = output;
    this.connection = new H2Connection(
      role.kind === "client"
        ? { kind: "client", handler: this.#clientHandler(role.onRefused) }
        : { kind: "server", handler: this.#serverHandler(role.onRequest) },
      (bytes, start, end) => output.write(bytes, start, end),
      TUNNEL_H2_LIMITS,
    );
    outer.owner = this;
    this.connection.start();
    outer.resume();
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  /** Whether `connect` may be called. */
  get hasRoom(): boolean {
    return this.#state === "open" && this.connection.canOpen;
  }

  /** Whether it will have no room again, or not soon: it has cancelled too much of late. */
  get isSpent(): boolean {
    return this.#state !== "open" || (!this.hasRoom && this.#streams.size === 0);
  }

  /** Asks the peer to connect a stream (client); needs `hasRoom`. */
  connect(stream: TunnelStream, head: RequestHead): void {
    const id = this.connection.open(head, "", false);
    if (id === undefined) return this.#parts.reactor.later(() => stream.fail("ECONNRESET"));
    stream.carriedBy(this, id);
    this.#streams.set(id, stream);
  }

  /** A request is taken up: what it carries is told to the stream (server). */
  adopt(streamId: number, stream: TunnelStream): void {
    stream.carriedBy(this, streamId);
    this.#streams.set(streamId, stream);
  }

  /** The stream's other end is connected (server). */
  accept(streamId: number, stream: TunnelStream): void {
    this.connection.respond(streamId, { status: 200, fields: [] }, false);
    stream.opened();
  }

  /** Nothing is carried (server). */
  refuse(streamId: number, status: number): void {
    this.#streams.delete(streamId);
    this.connection.respond(streamId, { status, fields: [] }, true);
    this.connection.reset(streamId, H2_ERROR.noError);
  }

  /** Takes no more streams, and closes after the last. */
  retire(): void {
    if (this.#state !== "open") return;
    this.#state = "retired";
    this.connection.drain();
  }

  /** Ends now; its streams hear the code. */
  abort(code: string): void {
    if (this.#state === "over") return;
    this.connection.goAway(H2_ERROR.noError);
    this.#output.flush();
    this.#outer.close();
    this.#over(code);
  }

  /** To be called every second. */
  sweep(): void {
    if (this.#state === "lingering" && ++this.#lingerSweeps > LINGER_SWEEPS) {
      return this.abort("ECONNRESET");
    }
    if (++this.#silentSweeps === PING_AFTER_SWEEPS) this.connection.ping();
    if (this.#silentSweeps >= DEAD_AFTER_SWEEPS) return this.abort("ETIMEDOUT");
    for (const stream of this.#streams.values()) stream.sweep();
  }

  isCongested(stream: TunnelStream): boolean {
    if (this.#isFull) this.#congested.add(stream);
    return this.#isFull;
  }

  moved(receivedBytes: number, sentBytes: number): void {
    this.#parts.moved(receivedBytes, sentBytes);
  }

  over(streamId: number, stream: TunnelStream): void {
    this.#streams.delete(streamId);
    this.#congested.delete(stream);
    if (this.#role.kind === "client") this.#role.onRoom();
  }

  onData(bytes: Buffer, start: number, end: number): void {
    this.#silentSweeps = 0;
    this.connection.receive(bytes, start, end, this.#parts.reactor.nowMs);
    if (this.#role.kind === "client" && this.#state === "open") this.#role.onRoom();
  }

  onEnd(): void {
    this.abort("ECONNRESET");
  }

  onDrained(): void {
    this.#isFull = false;
    const congested = this.#congested;
    this.#congested = new Set();
    for (const stream of congested) stream.onRoom();
  }

  onClosed(code: string | undefined): void {
    this.#over(code ?? "ECONNRESET");
  }

  /** A later write may clear what an earlier one left; nobody tells `onDrained` then. */
  #onWritten(isClear: boolean): void {
    const { reactor } = this.#parts;
    if (isClear && this.#isFull) reactor.later(() => this.onDrained());
    else this.#isFull = !isClear;
    // Not now: it may be told from deep within what is received.
    if (this.#outer.queuedBytes > MOST_QUEUED_BYTES) reactor.later(() => this.abort("ECONNRESET"));
  }

  #handler(): H2Handler {
    return {
      onData: (id, bytes, start, end, endStream) => {
        const stream = this.#streams.get(id);
        if (stream === undefined) this.connection.consumed(id, end - start);
        else stream.onData(bytes, start, end, endStream);
      },
      onTrailers: (id) => this.#streams.get(id)?.onData(NOTHING, 0, 0, true),
      onReset: (id) => this.#onReset(id),
      onWindow: (id) => this.#streams.get(id)?.onRoom(),
      onGoAway: () => {
        if (this.#state === "open") this.#state = "retired";
      },
      onPong: () => {},
      onClosed: (problem) => this.#onHttpClosed(problem),
    };
  }

  #clientHandler(onRefused: (stream: TunnelStream) => void): H2ClientHandler {
    return {
      ...this.#handler(),
      onResponse: (id, head, endStream) => this.#onResponse(id, head, endStream),
      onRefused: (id) => {
        const stream = this.#streams.get(id);
        // What was sent on one that was answered is gone: a peer that refuses it then is lying.
        if (stream?.isWaiting === true) this.#giveBack(id, stream, onRefused);
        else stream?.fail("ECONNRESET");
      },
    };
  }

  #serverHandler(onRequest: (id: number, head: H2RequestHead) => void): H2ServerHandler {
    return {
      ...this.#handler(),
      onRequest: (id, head, endStream) => {
        onRequest(id, head);
        if (endStream) this.#streams.get(id)?.onData(NOTHING, 0, 0, true);
      },
    };
  }

  #onResponse(id: number, { status }: H2ResponseHead, endStream: boolean): void {
    const stream = this.#streams.get(id);
    if (stream === undefined || status < 200) return;
    if (status !== 200) return stream.fail(failureOf(status));
    stream.opened();
    if (endStream) stream.onData(NOTHING, 0, 0, true);
  }

  #onReset(id: number): void {
    this.#streams.get(id)?.fail("ECONNRESET");
    this.connection.release(id);
  }

  /** All frames are written; the peer must be able to read the last one. */
  #onHttpClosed(problem: H2Problem | undefined): void {
    if (this.#state === "over") return;
    this.#state = "lingering";
    if (problem !== undefined) this.#endStreams("ECONNRESET");
    this.#output.flush();
    this.#outer.end();
  }

  #over(code: string): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.connection.goAway(H2_ERROR.noError);
    this.#endStreams(code);
    this.#parts.onOver();
  }

  #endStreams(code: string): void {
    const role = this.#role;
    for (const [id, stream] of this.#streams) {
      if (role.kind === "client" && stream.isWaiting) this.#giveBack(id, stream, role.onRefused);
      else stream.fail(code);
    }
  }

  #giveBack(id: number, stream: TunnelStream, onRefused: (stream: TunnelStream) => void): void {
    this.#streams.delete(id);
    stream.uncarried();
    onRefused(stream);
  }
}

const NOTHING = Buffer.alloc(0);

/** What a refusal would be to somebody who connects to the pod itself. */
function failureOf(status: number): string {
  if (status === 401 || status === 403) return "EACCES";
  return status === 400 ? "EPROTO" : "ECONNREFUSED";
}
