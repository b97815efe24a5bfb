// The rules for what arrives (RFC 9113 §5, §6): each frame moves a stream or the connection on, or
// is answered as an error of one of them. Heads are judged in h2-message-reader.ts.

import {
  FLAG,
  FRAME,
  H2_ERROR,
  MAX_FRAME_BYTES,
  MAX_WINDOW_BYTES,
  readUint31,
  readUint32,
  SETTING,
} from "./h2-frame.ts";
import { type FrameHead, type FrameSink, H2FrameReader } from "./h2-frame-reader.ts";
import { H2MessageReader } from "./h2-message-reader.ts";
import type { H2Session } from "./h2-session.ts";
import type { H2Stream } from "./h2-stream.ts";

/** Takes the payload of an acknowledged PING: eight bytes at `at`. */
export type PongSink = (bytes: Buffer, at: number) => void;

const NOTHING: Buffer = Buffer.alloc(0);

export class H2Inbound implements FrameSink {
  readonly #session: H2Session;
  readonly #reader: H2FrameReader;
  readonly #messages: H2MessageReader;
  readonly #onPong: PongSink;
  #greeted = false;
  /** Whose DATA frame is being read; undefined when its data is not wanted. */
  #stream: H2Stream | undefined;
  #endsStream = false;

  constructor(session: H2Session, onPong: PongSink) {
    this.#session = session;
    const preface = session.role.kind === "server" ? "expected" : "absent";
    this.#reader = new H2FrameReader(this, preface, session.limits.frameBytes);
    this.#messages = new H2MessageReader(session);
    this.#onPong = onPong;
  }

  read(bytes: Buffer, start: number, end: number): void {
    this.#reader.read(bytes, start, end);
  }

  broken(code: number, why: string): void {
    this.#session.fail(code, why);
  }

  frame(head: FrameHead, bytes: Buffer, start: number, end: number): void {
    if (!this.#inOrder(head)) return;
    switch (head.type) {
      case FRAME.headers:
        this.#messages.headers(head, bytes, start, end);
        break;
      case FRAME.continuation:
        this.#messages.continuation(head, bytes, start, end);
        break;
      case FRAME.rstStream:
        this.#reset(head, bytes, start);
        break;
      case FRAME.settings:
        this.#settings(head, bytes, start, end);
        break;
      case FRAME.ping:
        this.#ping(head, bytes, start);
        break;
      case FRAME.goAway:
        this.#goAway(head, bytes, start);
        break;
      case FRAME.windowUpdate:
        this.#windowUpdate(head, bytes, start);
        break;
      case FRAME.pushPromise:
        this.#fail(H2_ERROR.protocol, "PUSH_PROMISE was not enabled");
        break;
      case FRAME.priority:
        this.#priority(head);
        break;
      default:
        this.#session.spend("idle-frames");
    }
  }

  dataBegins(head: FrameHead, dataBytes: number, paddingBytes: number): void {
    this.#stream = undefined;
    if (!this.#inOrder(head)) return;
    const session = this.#session;
    if (!session.receiveWindow.take(head.lengthBytes)) {
      this.#fail(H2_ERROR.flowControl, "DATA exceeds the window of the connection");
      return;
    }
    const endStream = (head.flags & FLAG.endStream) !== 0;
    const stream = this.#acceptData(head, dataBytes, endStream);
    if (stream === undefined) {
      session.giveBack(0, head.lengthBytes);
      return;
    }
    session.earn("pings", 1);
    if (paddingBytes > 0) session.giveBack(stream.id, paddingBytes);
    this.#stream = stream;
    this.#endsStream = endStream;
    if (dataBytes > 0) return;
    if (endStream) this.data(NOTHING, 0, 0, true);
    else session.spend("empty-data");
  }

  data(bytes: Buffer, start: number, end: number, last: boolean): void {
    const stream = this.#stream;
    const session = this.#session;
    if (stream === undefined || session.state === "closed") return;
    if (stream.wasReset) {
      session.giveBack(0, end - start);
      return;
    }
    const endStream = last && this.#endsStream;
    if (endStream) stream.receiving = "over";
    session.role.handler.onData(stream.id, bytes, start, end, endStream);
    if (endStream) session.retire(stream);
  }

  /** @returns undefined when the data is to be passed over; then the stream was dealt with */
  #acceptData(head: FrameHead, dataBytes: number, endStream: boolean): H2Stream | undefined {
    const session = this.#session;
    const { streamId } = head;
    const stream = session.streams.get(streamId);
    if (stream === undefined) {
      const absence = session.absence(streamId);
      if (absence === "idle") this.#fail(H2_ERROR.protocol, "DATA for an idle stream");
      else if (absence === "reset") session.spend("idle-frames");
      else session.refuse(streamId, H2_ERROR.streamClosed);
      return undefined;
    }
    if (stream.receiving !== "body") {
      const early = stream.receiving === "head";
      session.refuse(streamId, early ? H2_ERROR.protocol : H2_ERROR.streamClosed);
      return undefined;
    }
    if (!stream.receiveWindow.take(head.lengthBytes)) {
      session.refuse(streamId, H2_ERROR.flowControl);
      return undefined;
    }
    if (stream.takeBody(dataBytes, endStream)) return stream;
    session.refuse(streamId, H2_ERROR.protocol);
    return undefined;
  }

  /** SETTINGS come first, and nothing comes between the frames of a head. */
  #inOrder(head: FrameHead): boolean {
    if (this.#session.state === "closed") {
      this.#reader.stop();
      return false;
    }
    if (!this.#greeted) {
      this.#greeted = head.type === FRAME.settings && (head.flags & FLAG.ack) === 0;
      if (!this.#greeted) this.#fail(H2_ERROR.protocol, "First frame is not SETTINGS");
      return this.#greeted;
    }
    const problem = this.#messages.orderProblem(head) ?? placeProblem(head);
    if (problem !== undefined) this.#fail(H2_ERROR.protocol, problem);
    return problem === undefined;
  }

  #reset({ streamId, lengthBytes }: FrameHead, bytes: Buffer, at: number): void {
    const session = this.#session;
    if (lengthBytes !== 4) return this.#wrongLength("RST_STREAM");
    const stream = session.streams.get(streamId);
    if (stream !== undefined) {
      session.endReset(stream, readUint32(bytes, at));
      session.spend("peer-resets");
    } else if (session.absence(streamId) === "idle") {
      this.#fail(H2_ERROR.protocol, "RST_STREAM for an idle stream");
    } else {
      session.spend("idle-frames");
    }
  }

  #settings(head: FrameHead, bytes: Buffer, start: number, end: number): void {
    const session = this.#session;
    if (head.flags & FLAG.ack) {
      if (head.lengthBytes !== 0) this.#wrongLength("SETTINGS");
      return;
    }
    if (head.lengthBytes % 6 !== 0) return this.#wrongLength("SETTINGS");
    if (!session.spend("settings")) return;
    for (let at = start; at < end; at += 6) {
      const identifier = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
      const code = this.#set(identifier, readUint32(bytes, at + 2));
      if (code !== H2_ERROR.noError) {
        this.#fail(code, `Value of setting ${identifier} is out of bounds`);
        return;
      }
    }
    session.writer.settingsAck();
    session.wake();
  }

  /** @returns the error that a value is (§6.5.2) */
  #set(identifier: number, value: number): number {
    const session = this.#session;
    switch (identifier) {
      case SETTING.headerTableSize:
        session.writer.limitTable(value);
        return H2_ERROR.noError;
      case SETTING.enablePush:
        return value > (session.role.kind === "server" ? 1 : 0)
          ? H2_ERROR.protocol
          : H2_ERROR.noError;
      case SETTING.maxConcurrentStreams:
        session.peerStreams = value;
        return H2_ERROR.noError;
      case SETTING.initialWindowSize:
        return this.#setWindow(value);
      case SETTING.maxFrameSize:
        if (value < MAX_FRAME_BYTES || value > 0xff_ffff) return H2_ERROR.protocol;
        session.writer.dataBytes = Math.min(value, session.limits.frameBytes);
        return H2_ERROR.noError;
      case SETTING.enableConnectProtocol:
        if (value > 1) return H2_ERROR.protocol;
        session.peerExtendedConnect = value === 1;
        return H2_ERROR.noError;
      default:
        return H2_ERROR.noError;
    }
  }

  #setWindow(bytes: number): number {
    const session = this.#session;
    if (bytes > MAX_WINDOW_BYTES) return H2_ERROR.flowControl;
    const change = bytes - session.peerWindowBytes;
    session.peerWindowBytes = bytes;
    for (const stream of session.streams.values()) {
      stream.sendWindowBytes += change;
      if (stream.sendWindowBytes > MAX_WINDOW_BYTES) return H2_ERROR.flowControl;
    }
    return H2_ERROR.noError;
  }

  #ping({ flags, lengthBytes }: FrameHead, bytes: Buffer, at: number): void {
    if (lengthBytes !== 8) return this.#wrongLength("PING");
    if (flags & FLAG.ack) this.#onPong(bytes, at);
    else if (this.#session.spend("pings")) this.#session.writer.ping(FLAG.ack, bytes, at);
  }

  #goAway({ lengthBytes }: FrameHead, bytes: Buffer, at: number): void {
    if (lengthBytes < 8) return this.#wrongLength("GOAWAY");
    const session = this.#session;
    if (!session.spend("idle-frames")) return;
    const lastStreamId = readUint31(bytes, at);
    session.finish();
    session.role.handler.onGoAway(lastStreamId, readUint32(bytes, at + 4));
    if (session.role.kind === "client") {
      for (const stream of session.streams.values()) {
        if (stream.id > lastStreamId) session.endReset(stream, H2_ERROR.refusedStream);
      }
    }
    session.closeIfDone();
  }

  #windowUpdate({ streamId, lengthBytes }: FrameHead, bytes: Buffer, at: number): void {
    const session = this.#session;
    if (lengthBytes !== 4) return this.#wrongLength("WINDOW_UPDATE");
    if (!session.spend("window-updates")) return;
    const increment = readUint31(bytes, at);
    if (streamId === 0) {
      session.sendWindowBytes += increment;
      if (increment === 0) this.#fail(H2_ERROR.protocol, "Increment of a window is 0");
      else if (session.sendWindowBytes <= MAX_WINDOW_BYTES) session.wake();
      else this.#fail(H2_ERROR.flowControl, "Window of the connection overflows");
      return;
    }
    const stream = session.streams.get(streamId);
    if (stream === undefined) {
      if (session.absence(streamId) !== "idle") return;
      this.#fail(H2_ERROR.protocol, "WINDOW_UPDATE for an idle stream");
      return;
    }
    stream.sendWindowBytes += increment;
    if (increment === 0) session.refuse(streamId, H2_ERROR.protocol);
    else if (stream.sendWindowBytes <= MAX_WINDOW_BYTES) session.wake();
    else session.refuse(streamId, H2_ERROR.flowControl);
  }

  /** Says nothing that we act on (§5.3.2). */
  #priority({ lengthBytes }: FrameHead): void {
    if (lengthBytes !== 5) this.#wrongLength("PRIORITY");
    else this.#session.spend("idle-frames");
  }

  #wrongLength(name: string): void {
    this.#fail(H2_ERROR.frameSize, `Length of ${name} is wrong`);
  }

  #fail(code: number, why: string): void {
    this.#session.fail(code, why);
  }
}

/** Some frames are about streams and some about the connection, stream 0. */
function placeProblem({ type, streamId }: FrameHead): string | undefined {
  switch (type) {
    case FRAME.data:
    case FRAME.headers:
    case FRAME.priority:
    case FRAME.rstStream:
    case FRAME.continuation:
      return streamId === 0 ? "Frame of a stream names stream 0" : undefined;
    case FRAME.settings:
    case FRAME.ping:
    case FRAME.goAway:
      return streamId === 0 ? undefined : "Frame of the connection names a stream";
    default:
      return undefined;
  }
}
