// One connection inside a tunnel session, at either end of it: a stream of HTTP/2 that behaves as
// a TCP connection does. What the windows do not take waits here, and what a paused owner does not
// take is kept here, which the peer's window bounds.

import type { H2Connection } from "../../lib/http/h2-connection.ts";
import type { ByteStream, StreamOwner, StreamProof } from "../../lib/reactor/byte-stream.ts";
import { copyToKeep } from "../../lib/reactor/kept-bytes.ts";
import type { Reactor } from "../../lib/reactor/reactor.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import type { StreamEnds } from "../../lib/reactor/tcp-stream.ts";
import { ABANDONED_SWEEPS } from "./tunnel-limits.ts";

/** The session, as its streams see it. */
export interface StreamCarrier {
  readonly connection: H2Connection;
  /** The connection below has to wait: streams keep what they have until `onUncongested`. */
  isCongested(stream: TunnelStream): boolean;
  moved(receivedBytes: number, sentBytes: number): void;
  over(streamId: number, stream: TunnelStream): void;
}

export type StreamResult = "ok" | "failed" | "cancelled";

export interface TunnelStreamParts {
  readonly reactor: Reactor;
  readonly ends: StreamEnds;
  /** Of one that was dialled. */
  readonly proof?: StreamProof;
  /** What a reset says to the other end: ours is the client's, or the pod's (RFC 9113 §8.5). */
  readonly resetCode: number;
  /** Called once, whoever ended it, before the owner hears of it. */
  readonly onOver: (stream: TunnelStream, result: StreamResult) => void;
}

const NOTHING = Buffer.alloc(0);

type State = "waiting" | "open" | "abandoned" | "closed";

export class TunnelStream implements ByteStream {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly startedMs: number;
  readonly proof: StreamProof | undefined;
  owner: StreamOwner;
  receivedBytes = 0;
  sentBytes = 0;
  readonly #parts: TunnelStreamParts;
  #carrier: StreamCarrier | undefined;
  #id = 0;
  #state: State = "waiting";
  /** To be sent. */
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #owesDrained = false;
  #ending = false;
  #ended = false;
  /** Received, and not told. */
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #paused = false;
  #peerEnding = false;
  #peerEnded = false;
  #abandonedSweeps = 0;

  constructor(parts: TunnelStreamParts, owner: StreamOwner) {
    this.#parts = parts;
    this.local = parts.ends.local;
    this.remote = parts.ends.remote;
    this.startedMs = parts.reactor.nowMs;
    this.proof = parts.proof;
    this.owner = owner;
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Whether it waits for a session, or for the answer of one. */
  get isWaiting(): boolean {
    return this.#state === "waiting";
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    const carrier = this.#carrier;
    if (this.#state !== "open" || carrier === undefined || this.#ending) return true;
    this.sentBytes += end - start;
    carrier.moved(0, end - start);
    let at = start;
    if (this.#queuedBytes === 0 && !carrier.isCongested(this)) {
      at += carrier.connection.data(this.#id, bytes, start, end, false);
    }
    if (at < end) this.#enqueue(copyToKeep(bytes, at, end));
    this.#owesDrained ||= this.#queuedBytes > 0 || carrier.isCongested(this);
    return !this.#owesDrained;
  }

  push(bytes: Buffer): void {
    this.write(bytes, 0, bytes.length);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#keptBytes > 0 || this.#peerEnding) this.#parts.reactor.later(() => this.#tellKept());
  }

  /** A slow reader and a dead one differ by the session's pings. */
  awaitReader(): void {}

  end(): void {
    if (this.#state !== "open" || this.#ending) return;
    this.#ending = true;
    if (this.#queuedBytes === 0) this.#finish();
  }

  close(): void {
    if (this.#state !== "open" || this.#queuedBytes > 0 || this.#keptBytes > 0) return this.reset();
    // As a socket that is closed: the peer reads to the end, and may not send any more.
    this.#state = "abandoned";
    this.#parts.onOver(this, "ok");
    if (!this.#ended) this.#finish();
  }

  reset(): void {
    const was = this.#state;
    if (was === "closed") return;
    this.#close();
    if (was !== "abandoned") this.#parts.onOver(this, "cancelled");
    this.#leave(this.#parts.resetCode);
  }

  /** @internal A session carries it from here on. */
  carriedBy(carrier: StreamCarrier, id: number): void {
    this.#carrier = carrier;
    this.#id = id;
  }

  /** @internal No session carries it any more; another one may. */
  uncarried(): void {
    this.#carrier = undefined;
  }

  /** @internal The other end of the tunnel is connected. */
  opened(): void {
    this.#state = "open";
    this.owner.onOpen?.();
    if (this.#keptBytes > 0 || this.#peerEnding) this.#parts.reactor.later(() => this.#tellKept());
  }

  /** @internal */
  onData(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    const lengthBytes = end - start;
    this.receivedBytes += lengthBytes;
    this.#carrier?.moved(lengthBytes, 0);
    if (this.#state === "abandoned" && lengthBytes > 0) {
      this.#consumed(lengthBytes);
      return this.reset();
    }
    if (endStream) this.#peerEnding = true;
    if (this.#paused || this.#keptBytes > 0 || this.#state !== "open") {
      this.#keep(copyToKeep(bytes, start, end));
    } else if (lengthBytes > 0) {
      this.owner.onData(bytes, start, end);
      this.#consumed(lengthBytes);
    }
    this.#tellEnd();
  }

  /** @internal Windows, or the connection, take more. */
  onRoom(): void {
    const carrier = this.#carrier;
    if (carrier === undefined || this.#state !== "open") return;
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      if (carrier.isCongested(this)) return;
      const taken = carrier.connection.data(this.#id, first, 0, first.length, false);
      this.#queue.shift();
      this.#setQueued(this.#queuedBytes - taken);
      if (taken === first.length) continue;
      this.#queue.unshift(first.subarray(taken));
      return;
    }
    if (carrier.isCongested(this)) return;
    if (this.#ending) return this.#finish();
    if (!this.#owesDrained) return;
    this.#owesDrained = false;
    this.owner.onDrained();
  }

  /** @internal It is over without order: reset by the peer, or the session broke. */
  fail(code: string): void {
    const was = this.#state;
    if (was === "closed") return;
    this.#close();
    this.#leave(this.#parts.resetCode);
    if (was === "abandoned") return;
    this.#parts.onOver(this, "failed");
    this.owner.onClosed(code);
  }

  /** @internal */
  sweep(): void {
    if (this.#state === "abandoned" && ++this.#abandonedSweeps > ABANDONED_SWEEPS) this.reset();
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#carrier?.connection.data(this.#id, NOTHING, 0, 0, true);
    if (this.#peerEnded) this.#parts.reactor.later(() => this.#done());
  }

  #tellKept(): void {
    while (this.#state === "open" && !this.#paused) {
      const bytes = this.#kept.shift();
      if (bytes === undefined) break;
      this.#keptBytes -= bytes.length;
      this.#parts.reactor.kept(-bytes.length);
      this.owner.onData(bytes, 0, bytes.length);
      this.#consumed(bytes.length);
    }
    this.#tellEnd();
  }

  #tellEnd(): void {
    if (!this.#peerEnding || this.#peerEnded || this.#keptBytes > 0) return;
    if (this.#state === "waiting" || this.#state === "closed") return;
    this.#peerEnded = true;
    if (this.#ended) this.#done();
    else this.owner.onEnd();
  }

  /** Both sides ended. */
  #done(): void {
    const was = this.#state;
    if (was === "closed") return;
    this.#close();
    this.#carrier?.over(this.#id, this);
    if (was === "abandoned") return;
    this.#parts.onOver(this, "ok");
    this.owner.onClosed(undefined);
  }

  /** Leaves the session without an end. */
  #leave(errorCode: number): void {
    const carrier = this.#carrier;
    if (carrier === undefined) return;
    carrier.connection.reset(this.#id, errorCode);
    carrier.over(this.#id, this);
  }

  #close(): void {
    this.#state = "closed";
    this.#queue = [];
    this.#setQueued(0);
    // A whole connection shares the credit of what nobody will read.
    if (this.#keptBytes > 0) this.#consumed(this.#keptBytes);
    this.#parts.reactor.kept(-this.#keptBytes);
    this.#kept = [];
    this.#keptBytes = 0;
  }

  #consumed(lengthBytes: number): void {
    this.#carrier?.connection.consumed(this.#id, lengthBytes);
  }

  #enqueue(bytes: Buffer): void {
    this.#queue.push(bytes);
    this.#setQueued(this.#queuedBytes + bytes.length);
  }

  #setQueued(lengthBytes: number): void {
    this.#parts.reactor.kept(lengthBytes - this.#queuedBytes);
    this.#queuedBytes = lengthBytes;
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#kept.push(bytes);
    this.#keptBytes += bytes.length;
    this.#parts.reactor.kept(bytes.length);
  }
}
