// One HTTP/2 connection without its transport (RFC 9113), either side of it. Bytes come in through
// `receive` and go out through `output`; a handler hears of streams. Bytes pass through
// h2-frame-reader, h2-inbound, h2-message-reader and h2-head; h2-session holds what they share.

import assert from "node:assert/strict";
import {
  H2_ERROR,
  INITIAL_WINDOW_BYTES,
  MAX_FRAME_BYTES,
  MAX_STREAM_ID,
  SETTING,
} from "./h2-frame.ts";
import {
  H2FrameWriter,
  type H2Output,
  type H2RequestToSend,
  type H2ResponseToSend,
} from "./h2-frame-writer.ts";
import type { H2Role } from "./h2-handler.ts";
import { H2Inbound } from "./h2-inbound.ts";
import type { H2Limits } from "./h2-limits.ts";
import { H2Session } from "./h2-session.ts";
import type { FieldLines } from "./message.ts";

/** Payloads that tell our own pings apart. */
const LIVENESS_PING: Buffer = Buffer.from("liveness", "latin1");
const DRAIN_PING: Buffer = Buffer.from("draining", "latin1");

/**
 * Commands about a stream that is over do nothing: its end may have been told just now, deep in
 * the caller's own call. Queues nothing: what the windows do not take stays with the caller.
 */
export class H2Connection {
  readonly #session: H2Session;
  readonly #inbound: H2Inbound;
  #draining = false;

  /** Nothing is sent before `start`. */
  constructor(role: H2Role, output: H2Output, limits: H2Limits) {
    this.#session = new H2Session(role, new H2FrameWriter(output), limits);
    this.#inbound = new H2Inbound(this.#session, (bytes, at) => this.#pong(bytes, at));
  }

  /** Sends our settings, after a client's preface. Requests may follow at once. */
  start(): void {
    const { role, limits, writer } = this.#session;
    if (role.kind === "client") writer.preface();
    writer.settings([
      role.kind === "client"
        ? [SETTING.enablePush, 0]
        : [SETTING.maxConcurrentStreams, limits.streams],
      [SETTING.initialWindowSize, limits.streamWindowBytes],
      [SETTING.maxHeaderListSize, limits.headerListBytes],
      ...(limits.frameBytes > MAX_FRAME_BYTES
        ? [[SETTING.maxFrameSize, limits.frameBytes] as const]
        : []),
      ...(role.kind === "server" && limits.extendedConnect === "allowed"
        ? [[SETTING.enableConnectProtocol, 1] as const]
        : []),
    ]);
    const increment = limits.connectionWindowBytes - INITIAL_WINDOW_BYTES;
    if (increment > 0) writer.windowUpdate(0, increment);
  }

  /**
   * Takes bytes that the peer sent; a server's begin with the client's preface. The view may be
   * overwritten afterwards. Never throws, whatever the bytes are.
   * @param nowMs of a monotonic clock, for the limits over time
   */
  receive(bytes: Buffer, start: number, end: number, nowMs: number): void {
    this.#session.nowMs = nowMs;
    if (this.#session.state !== "closed") this.#inbound.read(bytes, start, end);
  }

  /** Whether the connection is over; then all commands do nothing. */
  get closed(): boolean {
    return this.#session.state === "closed";
  }

  /** Streams that are open, or reset and not released. */
  get busyStreams(): number {
    return this.#session.busyStreams;
  }

  /** Whether `open` would open a stream. */
  get canOpen(): boolean {
    return this.#session.mayOpen;
  }

  /** Whether the server takes CONNECT with `upgrade` (RFC 8441); it tells in its settings. */
  get canOpenExtendedConnect(): boolean {
    return this.#session.peerExtendedConnect;
  }

  /**
   * Sends a request (client role). One with `upgrade` is a CONNECT, and needs
   * `canOpenExtendedConnect`.
   * @returns the stream, or undefined when no more can be opened now, or ever here
   */
  open(head: H2RequestToSend, scheme: string, endStream: boolean): number | undefined {
    const session = this.#session;
    assert(session.role.kind === "client", "Only clients open streams");
    if (!session.mayOpen) return undefined;
    const streamId = session.nextOwnStreamId;
    session.nextOwnStreamId += 2;
    const stream = session.addStream(streamId, "head", head.method);
    if (endStream) stream.sending = "over";
    session.writer.request(streamId, head, { scheme, endStream });
    return streamId;
  }

  /** Sends a response's head, interim ones (1xx) before the final one (server role). */
  respond(streamId: number, head: H2ResponseToSend, endStream: boolean): void {
    if (!this.#canSend(streamId)) return;
    this.#session.writer.response(streamId, head, endStream);
    if (endStream) this.#endSending(streamId);
  }

  /**
   * Sends data as far as the windows let it. When it takes less than all, `onWindow` follows, and
   * the end of the stream has not been sent.
   * @returns the bytes taken; all when the stream is over
   */
  data(streamId: number, bytes: Buffer, start: number, end: number, endStream: boolean): number {
    const session = this.#session;
    const stream = session.streams.get(streamId);
    const wanted = end - start;
    if (stream === undefined || stream.sending === "over") return wanted;
    const window = Math.max(0, Math.min(stream.sendWindowBytes, session.sendWindowBytes));
    const taken = Math.min(wanted, window);
    const whole = taken === wanted;
    if (taken > 0 || (whole && endStream)) {
      stream.sendWindowBytes -= taken;
      session.sendWindowBytes -= taken;
      session.earn("window-updates", (whole ? 2 : 0) + taken / 512);
      session.earn("pings", 1);
      session.writer.data(streamId, bytes, start, start + taken, whole && endStream);
    }
    if (!whole) session.awaitWindow(stream);
    else if (endStream) this.#endSending(streamId);
    return taken;
  }

  /** Ends our message with trailers. */
  trailers(streamId: number, fields: FieldLines): void {
    if (!this.#canSend(streamId)) return;
    this.#session.writer.trailers(streamId, fields);
    this.#endSending(streamId);
  }

  /** Ends a stream at once, both ways; the handler hears no more of it. */
  reset(streamId: number, errorCode: number): void {
    this.#session.reset(streamId, errorCode);
  }

  /** After `onReset` in the server role: no more work is done for the stream. */
  release(streamId: number): void {
    this.#session.release(streamId);
  }

  /** Returns credit for bytes that `onData` told. Updates are sent for half a window at a time. */
  consumed(streamId: number, lengthBytes: number): void {
    this.#session.giveBack(streamId, lengthBytes);
  }

  /** Asks for a sign of life: `onPong`. */
  ping(): void {
    if (!this.closed) this.#session.writer.ping(0, LIVENESS_PING, 0);
  }

  /**
   * Lets open streams end and takes no new ones; `onClosed` follows the last. A server goes on
   * taking requests for a round trip, until the client must know (§6.8).
   */
  drain(): void {
    const { role, state, writer } = this.#session;
    if (this.#draining || state === "closed") return;
    this.#draining = true;
    if (role.kind === "client") {
      writer.goAway(0, H2_ERROR.noError);
      this.#session.finish();
      this.#session.closeIfDone();
    } else {
      writer.goAway(MAX_STREAM_ID, H2_ERROR.noError);
      writer.ping(0, DRAIN_PING, 0);
    }
  }

  /** Ends the connection at once, at our own wish: the handler hears no more. */
  goAway(errorCode: number): void {
    const session = this.#session;
    if (session.state === "closed") return;
    session.writer.goAway(session.lastPeerStreamId, errorCode);
    session.state = "closed";
  }

  #canSend(streamId: number): boolean {
    return this.#session.streams.get(streamId)?.sending === "open";
  }

  #endSending(streamId: number): void {
    const stream = this.#session.streams.get(streamId);
    if (stream === undefined) return;
    stream.sending = "over";
    this.#session.retire(stream);
  }

  #pong(bytes: Buffer, at: number): void {
    const session = this.#session;
    if (LIVENESS_PING.equals(bytes.subarray(at, at + 8))) {
      session.role.handler.onPong();
    } else if (this.#draining && DRAIN_PING.equals(bytes.subarray(at, at + 8))) {
      if (session.state === "open") session.writer.goAway(session.lastPeerStreamId, 0);
      session.finish();
      session.closeIfDone();
    }
  }
}
