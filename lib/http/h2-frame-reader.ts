// Cuts what arrives into frames, whatever its pieces. DATA is passed on piece by piece as it comes,
// other frames whole; only what is cut off in the middle of those is copied.

import { FLAG, FRAME, FRAME_HEAD_BYTES, H2_ERROR, PREFACE, readUint31 } from "./h2-frame.ts";

/** Takes frames. Views are good during the call. */
export interface FrameSink {
  /** Any frame but DATA, whole. */
  frame(head: FrameHead, bytes: Buffer, start: number, end: number): void;
  /**
   * A DATA frame begins: `data` follows for its `dataBytes`, unless there are none.
   * @param paddingBytes what counts against the windows beside the data
   */
  dataBegins(head: FrameHead, dataBytes: number, paddingBytes: number): void;
  /** A piece of the frame that began last; `last` when it is the end of its data. */
  data(bytes: Buffer, start: number, end: number, last: boolean): void;
  /** The bytes make no frame. Nothing is told after this. */
  broken(code: number, why: string): void;
}

/** The head of the frame that is being read; changes with the next one. */
export interface FrameHead {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly lengthBytes: number;
}

/** Memory for larger frames that come in pieces is not kept. */
const KEPT_BYTES = 1024;

type Phase = "preface" | "head" | "payload" | "pad-length" | "data" | "padding" | "stopped";

export class H2FrameReader {
  readonly #sink: FrameSink;
  readonly #limitBytes: number;
  readonly #head = { type: 0, flags: 0, streamId: 0, lengthBytes: 0 };
  #phase: Phase;
  /** Bytes of the preface, data or padding still to come. */
  #left: number;
  #paddingBytes = 0;
  /** What of a head or payload has come, when a piece ended inside. */
  #partial: Buffer = Buffer.alloc(0);
  #partialBytes = 0;

  /**
   * @param preface whether the bytes begin with what a client sends first
   * @param limitBytes of a frame's payload
   */
  constructor(sink: FrameSink, preface: "expected" | "absent", limitBytes: number) {
    this.#sink = sink;
    this.#limitBytes = limitBytes;
    this.#phase = preface === "expected" ? "preface" : "head";
    this.#left = PREFACE.length;
  }

  /** Nothing more is read or told, not even the rest of the current piece. */
  stop(): void {
    this.#phase = "stopped";
  }

  /** Reads a piece. Never throws. */
  read(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end && this.#phase !== "stopped") at = this.#step(bytes, at, end);
  }

  /** @returns where the next step begins */
  #step(bytes: Buffer, at: number, end: number): number {
    switch (this.#phase) {
      case "head":
        return this.#readHead(bytes, at, end);
      case "payload":
        return this.#readPayload(bytes, at, end);
      case "pad-length":
        this.#beginData(this.#head.lengthBytes - 1, bytes[at] ?? 0);
        return at + 1;
      case "data":
        return this.#readData(bytes, at, end);
      case "padding": {
        const skipped = Math.min(this.#left, end - at);
        this.#left -= skipped;
        if (this.#left === 0) this.#phase = "head";
        return at + skipped;
      }
      case "preface":
        return this.#readPreface(bytes, at, end);
      default:
        return end;
    }
  }

  #readPreface(bytes: Buffer, at: number, end: number): number {
    const length = Math.min(this.#left, end - at);
    const from = PREFACE.length - this.#left;
    if (PREFACE.compare(bytes, at, at + length, from, from + length) !== 0) {
      this.#break(H2_ERROR.protocol, "Preface is not the one of HTTP/2");
      return end;
    }
    this.#left -= length;
    if (this.#left === 0) this.#phase = "head";
    return at + length;
  }

  #readHead(bytes: Buffer, at: number, end: number): number {
    if (this.#partialBytes === 0 && end - at >= FRAME_HEAD_BYTES) {
      this.#beginFrame(bytes, at);
      return at + FRAME_HEAD_BYTES;
    }
    const next = this.#collect(bytes, at, end, FRAME_HEAD_BYTES);
    if (this.#partialBytes === FRAME_HEAD_BYTES) {
      this.#partialBytes = 0;
      this.#beginFrame(this.#partial, 0);
    }
    return next;
  }

  #beginFrame(bytes: Buffer, at: number): void {
    const head = this.#head;
    const lengthBytes =
      ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    head.lengthBytes = lengthBytes;
    head.type = bytes[at + 3] ?? 0;
    head.flags = bytes[at + 4] ?? 0;
    head.streamId = readUint31(bytes, at + 5);
    if (lengthBytes > this.#limitBytes) {
      this.#break(H2_ERROR.frameSize, "Frame is longer than SETTINGS_MAX_FRAME_SIZE");
    } else if (head.type !== FRAME.data) {
      this.#phase = "payload";
      // A frame may be whole without another byte.
      if (lengthBytes === 0) this.#readPayload(bytes, at, at);
    } else if ((head.flags & FLAG.padded) === 0) {
      this.#beginData(lengthBytes, 0);
    } else if (lengthBytes === 0) {
      this.#break(H2_ERROR.frameSize, "DATA frame has no room for its padding's length");
    } else {
      this.#phase = "pad-length";
    }
  }

  #readPayload(bytes: Buffer, at: number, end: number): number {
    const length = this.#head.lengthBytes;
    if (this.#partialBytes === 0 && end - at >= length) {
      this.#phase = "head";
      this.#sink.frame(this.#head, bytes, at, at + length);
      return at + length;
    }
    const next = this.#collect(bytes, at, end, length);
    if (this.#partialBytes === length) {
      this.#partialBytes = 0;
      this.#phase = "head";
      this.#sink.frame(this.#head, this.#partial, 0, length);
      if (length > KEPT_BYTES) this.#partial = Buffer.alloc(0);
    }
    return next;
  }

  /** @param roomBytes of the frame behind the length of its padding */
  #beginData(roomBytes: number, paddingBytes: number): void {
    if (paddingBytes > roomBytes) {
      this.#break(H2_ERROR.protocol, "DATA frame is shorter than its padding");
      return;
    }
    const dataBytes = roomBytes - paddingBytes;
    this.#left = dataBytes === 0 ? paddingBytes : dataBytes;
    this.#paddingBytes = paddingBytes;
    this.#phase = this.#left === 0 ? "head" : dataBytes === 0 ? "padding" : "data";
    this.#sink.dataBegins(this.#head, dataBytes, this.#head.lengthBytes - dataBytes);
  }

  #readData(bytes: Buffer, at: number, end: number): number {
    const length = Math.min(this.#left, end - at);
    this.#left -= length;
    const last = this.#left === 0;
    if (last) {
      this.#left = this.#paddingBytes;
      this.#phase = this.#left === 0 ? "head" : "padding";
    }
    this.#sink.data(bytes, at, at + length, last);
    return at + length;
  }

  /** Keeps a piece until `wantedBytes` have come. */
  #collect(bytes: Buffer, at: number, end: number, wantedBytes: number): number {
    if (this.#partial.length < wantedBytes) {
      const larger = Buffer.allocUnsafe(wantedBytes);
      this.#partial.copy(larger, 0, 0, this.#partialBytes);
      this.#partial = larger;
    }
    const length = Math.min(wantedBytes - this.#partialBytes, end - at);
    bytes.copy(this.#partial, this.#partialBytes, at, at + length);
    this.#partialBytes += length;
    return at + length;
  }

  #break(code: number, why: string): void {
    this.stop();
    this.#sink.broken(code, why);
  }
}
