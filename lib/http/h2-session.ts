// What the two directions of one connection share: streams, windows, and the ways in which streams
// and the connection end.

import { type H2FloodGuard, makeFloodGuard, TokenBucket } from "./h2-flood-guard.ts";
import { H2_ERROR, INITIAL_WINDOW_BYTES, MAX_STREAM_ID } from "./h2-frame.ts";
import type { H2FrameWriter } from "./h2-frame-writer.ts";
import type { H2Role } from "./h2-handler.ts";
import type { FloodKind, H2Limits } from "./h2-limits.ts";
import { H2ReceiveWindow, H2Stream } from "./h2-stream.ts";

/**
 * - `finishing`: no new streams; the connection closes with the last one.
 * - `closed`: nothing is read or written any more.
 */
export type SessionState = "open" | "finishing" | "closed";

/** Two tokens each for a stream that ended well. Node's server sends empty DATA before trailers. */
const EARNED_BY_STREAMS: readonly FloodKind[] = [
  "peer-resets",
  "empty-data",
  "idle-frames",
  "interim-responses",
];
/** Streams whose resets are remembered. */
const REMEMBERED_RESETS = 1000;
/** Until the peer has told (§6.5.2 leaves it without bound). */
const ASSUMED_PEER_STREAMS = 100;

export class H2Session {
  readonly role: H2Role;
  readonly limits: H2Limits;
  readonly writer: H2FrameWriter;
  readonly streams = new Map<number, H2Stream>();
  readonly receiveWindow: H2ReceiveWindow;
  sendWindowBytes = INITIAL_WINDOW_BYTES;
  /** Initial window of streams towards the peer, and how many it lets us open. */
  peerWindowBytes = INITIAL_WINDOW_BYTES;
  peerStreams = ASSUMED_PEER_STREAMS;
  peerExtendedConnect = false;
  /** The highest stream that the peer opened, 0 when none. */
  lastPeerStreamId = 0;
  nextOwnStreamId = 1;
  state: SessionState = "open";
  nowMs = 0;
  readonly #guard: H2FloodGuard;
  readonly #resetsSent: TokenBucket;
  readonly #waiting = new Set<H2Stream>();
  readonly #resets = new Set<number>();
  /** Reset streams that their handler still works for. */
  readonly #held = new Set<number>();

  constructor(role: H2Role, writer: H2FrameWriter, limits: H2Limits) {
    this.role = role;
    this.writer = writer;
    this.limits = limits;
    this.receiveWindow = new H2ReceiveWindow(limits.connectionWindowBytes);
    this.#guard = makeFloodGuard(limits.floods);
    this.#resetsSent = new TokenBucket(limits.resetsSent);
  }

  /** Streams that cost something: open ones, and reset ones not yet released. */
  get busyStreams(): number {
    return this.streams.size + this.#held.size;
  }

  /** Whether the peer bears another stream (client role). */
  get mayOpen(): boolean {
    if (this.state !== "open" || this.nextOwnStreamId > MAX_STREAM_ID) return false;
    if (this.streams.size >= Math.min(this.peerStreams, this.limits.streams)) return false;
    return this.#resetsSent.has(this.nowMs);
  }

  addStream(id: number, receiving: "head" | "body", method: string): H2Stream {
    const windows = {
      receiveBytes: this.limits.streamWindowBytes,
      sendBytes: this.peerWindowBytes,
    };
    const stream = new H2Stream(id, windows, { receiving, method });
    this.streams.set(id, stream);
    return stream;
  }

  /**
   * What a frame of a stream that is not there is about. After a drain there are streams that we
   * told the peer we ignore: as if reset by us.
   */
  absence(streamId: number): "idle" | "reset" | "closed" {
    if (this.#resets.has(streamId)) return "reset";
    if (this.role.kind === "client") {
      return streamId % 2 === 1 && streamId < this.nextOwnStreamId ? "closed" : "idle";
    }
    if (streamId % 2 === 0) return "idle";
    if (streamId <= this.lastPeerStreamId) return "closed";
    return this.state === "finishing" ? "reset" : "idle";
  }

  /** Takes a token; without one, the connection ends. */
  spend(kind: FloodKind): boolean {
    if (this.#guard[kind].take(this.nowMs)) return true;
    this.fail(H2_ERROR.enhanceYourCalm, `Limit of ${kind} is exhausted`);
    return false;
  }

  earn(kind: FloodKind, tokens: number): void {
    this.#guard[kind].give(tokens);
  }

  /** Returns credit for data that needs no more room here. */
  giveBack(streamId: number, lengthBytes: number): void {
    if (this.state === "closed") return;
    const increment = this.receiveWindow.give(lengthBytes);
    if (increment > 0) this.writer.windowUpdate(0, increment);
    const stream = this.streams.get(streamId);
    if (stream === undefined || stream.receiving === "over") return;
    const ofStream = stream.receiveWindow.give(lengthBytes);
    if (ofStream > 0) this.writer.windowUpdate(streamId, ofStream);
  }

  awaitWindow(stream: H2Stream): void {
    this.#waiting.add(stream);
  }

  /** Windows grew: tells streams that wait, in turn. */
  wake(): void {
    for (const stream of this.#waiting) {
      if (this.sendWindowBytes <= 0) return;
      if (stream.sendWindowBytes <= 0 || !this.#waiting.delete(stream)) continue;
      this.role.handler.onWindow(stream.id);
    }
  }

  /** Forgets a stream that both sides have ended. */
  retire(stream: H2Stream): void {
    if (stream.receiving !== "over" || stream.sending !== "over") return;
    if (!this.#forget(stream)) return;
    for (const kind of EARNED_BY_STREAMS) this.#guard[kind].give(2);
    this.closeIfDone();
  }

  /** Our own reset, at the handler's wish. */
  reset(streamId: number, errorCode: number): void {
    const stream = this.streams.get(streamId);
    if (stream === undefined) return;
    this.#forget(stream);
    this.sendReset(streamId, errorCode);
    this.#resetsSent.take(this.nowMs);
    this.closeIfDone();
  }

  /** The peer broke a rule of this stream, which need not be known. Too many end the connection. */
  refuse(streamId: number, errorCode: number): void {
    this.sendReset(streamId, errorCode);
    const stream = this.streams.get(streamId);
    if (stream !== undefined) this.endReset(stream, errorCode);
    this.spend("own-resets");
  }

  /** Ends a stream that was reset by either side, and tells. */
  endReset(stream: H2Stream, errorCode: number): void {
    if (!this.#forget(stream)) return;
    const { role } = this;
    if (role.kind === "server") this.#held.add(stream.id);
    if (role.kind === "client" && errorCode === H2_ERROR.refusedStream) {
      role.handler.onRefused(stream.id);
    } else {
      role.handler.onReset(stream.id, errorCode);
    }
    this.closeIfDone();
  }

  release(streamId: number): void {
    this.#held.delete(streamId);
  }

  /** Sends a reset, and remembers it: the peer may not know yet and still send. */
  sendReset(streamId: number, errorCode: number): void {
    if (this.state === "closed") return;
    this.writer.reset(streamId, errorCode);
    this.#resets.add(streamId);
    if (this.#resets.size <= REMEMBERED_RESETS) return;
    for (const oldest of this.#resets) {
      this.#resets.delete(oldest);
      return;
    }
  }

  /** Lets no more streams in or out; `closeIfDone` is to follow. */
  finish(): void {
    if (this.state === "open") this.state = "finishing";
  }

  closeIfDone(): void {
    if (this.state !== "finishing" || this.streams.size > 0) return;
    this.state = "closed";
    this.role.handler.onClosed(undefined);
  }

  /** A connection error (§5.4.1). */
  fail(code: number, why: string): void {
    if (this.state === "closed") return;
    this.writer.goAway(this.lastPeerStreamId, code);
    this.state = "closed";
    this.role.handler.onClosed({ code, why });
  }

  #forget(stream: H2Stream): boolean {
    if (!this.streams.delete(stream.id)) return false;
    this.#waiting.delete(stream);
    stream.wasReset = stream.receiving !== "over" || stream.sending !== "over";
    return true;
  }
}
