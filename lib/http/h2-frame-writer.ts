// Frames out. Every frame is handed to the output at once and in order; the output copies what it
// cannot write, so a connection queues nothing of its own.

import {
  FLAG,
  FRAME,
  FRAME_HEAD_BYTES,
  MAX_FRAME_BYTES,
  PREFACE,
  writeFrameHead,
  writeUint32,
} from "./h2-frame.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import type { FieldLines, RequestHead, ResponseHead } from "./message.ts";

/** Takes bytes to send. The view is good during the call only. */
export type H2Output = (bytes: Buffer, start: number, end: number) => void;

/** What is told beside the fields of a message and sent as fields. */
export interface H2RequestToSend extends RequestHead {
  readonly contentLength?: number | undefined;
  readonly expectContinue?: boolean;
}

export interface H2ResponseToSend extends ResponseHead {
  readonly contentLength?: number | undefined;
}

export class H2FrameWriter {
  readonly #output: H2Output;
  readonly #encoder = new HpackEncoder();
  /** Room for the head of a frame and eight bytes. */
  readonly #small: Buffer = Buffer.alloc(FRAME_HEAD_BYTES + 8);
  /** The longest DATA frame that the peer takes and we would send. */
  dataBytes = MAX_FRAME_BYTES;

  constructor(output: H2Output) {
    this.#output = output;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  limitTable(bytes: number): void {
    this.#encoder.limitTable(bytes);
  }

  preface(): void {
    this.#output(PREFACE, 0, PREFACE.length);
  }

  settings(settings: readonly (readonly [identifier: number, value: number])[]): void {
    const lengthBytes = settings.length * 6;
    const bytes = Buffer.alloc(FRAME_HEAD_BYTES + lengthBytes);
    writeFrameHead(bytes, 0, { type: FRAME.settings, flags: 0, streamId: 0, lengthBytes });
    settings.forEach(([identifier, value], i) => {
      bytes.writeUInt16BE(identifier, FRAME_HEAD_BYTES + i * 6);
      bytes.writeUInt32BE(value, FRAME_HEAD_BYTES + i * 6 + 2);
    });
    this.#output(bytes, 0, bytes.length);
  }

  settingsAck(): void {
    const head = { type: FRAME.settings, flags: FLAG.ack, streamId: 0, lengthBytes: 0 };
    writeFrameHead(this.#small, 0, head);
    this.#output(this.#small, 0, FRAME_HEAD_BYTES);
  }

  /** @param payload eight bytes at `at` */
  ping(flags: number, payload: Buffer, at: number): void {
    writeFrameHead(this.#small, 0, { type: FRAME.ping, flags, streamId: 0, lengthBytes: 8 });
    payload.copy(this.#small, FRAME_HEAD_BYTES, at, at + 8);
    this.#output(this.#small, 0, FRAME_HEAD_BYTES + 8);
  }

  goAway(lastStreamId: number, errorCode: number): void {
    const head = { type: FRAME.goAway, flags: 0, streamId: 0, lengthBytes: 8 };
    writeFrameHead(this.#small, 0, head);
    writeUint32(this.#small, FRAME_HEAD_BYTES, lastStreamId);
    writeUint32(this.#small, FRAME_HEAD_BYTES + 4, errorCode);
    this.#output(this.#small, 0, FRAME_HEAD_BYTES + 8);
  }

  reset(streamId: number, errorCode: number): void {
    this.#word(FRAME.rstStream, streamId, errorCode);
  }

  windowUpdate(streamId: number, incrementBytes: number): void {
    this.#word(FRAME.windowUpdate, streamId, incrementBytes);
  }

  /** As many frames as it takes; one without data when there is none. */
  data(streamId: number, bytes: Buffer, from: number, to: number, endStream: boolean): void {
    let start = from;
    do {
      const end = Math.min(to, start + this.dataBytes);
      const flags = endStream && end === to ? FLAG.endStream : 0;
      const head = { type: FRAME.data, flags, streamId, lengthBytes: end - start };
      writeFrameHead(this.#small, 0, head);
      this.#output(this.#small, 0, FRAME_HEAD_BYTES);
      if (end > start) this.#output(bytes, start, end);
      start = end;
    } while (start < to);
  }

  request(
    streamId: number,
    head: H2RequestToSend,
    { scheme, endStream }: { readonly scheme: string; readonly endStream: boolean },
  ): void {
    const encoder = this.#encoder;
    encoder.begin(FRAME_HEAD_BYTES);
    encoder.field(":method", head.method);
    if (head.method !== "CONNECT" || head.upgrade !== undefined) {
      encoder.field(":scheme", scheme);
      encoder.field(":path", head.path);
    }
    if (head.authority !== "") encoder.field(":authority", head.authority);
    if (head.upgrade !== undefined) encoder.field(":protocol", head.upgrade);
    if (head.expectContinue === true) encoder.field("expect", "100-continue");
    this.#fields(head.fields, head.contentLength);
    this.#finishHeaders(streamId, endStream);
  }

  response(streamId: number, head: H2ResponseToSend, endStream: boolean): void {
    this.#encoder.begin(FRAME_HEAD_BYTES);
    this.#encoder.field(":status", String(head.status));
    this.#fields(head.fields, head.contentLength);
    this.#finishHeaders(streamId, endStream);
  }

  trailers(streamId: number, fields: FieldLines): void {
    this.#encoder.begin(FRAME_HEAD_BYTES);
    this.#fields(fields, undefined);
    this.#finishHeaders(streamId, true);
  }

  #fields(fields: FieldLines, contentLength: number | undefined): void {
    const encoder = this.#encoder;
    if (contentLength !== undefined) encoder.field("content-length", String(contentLength));
    for (let i = 0; i < fields.length; i += 2) encoder.field(fields[i] ?? "", fields[i + 1] ?? "");
  }

  /** The block stands behind room for a head; each next head overwrites bytes that are out. */
  #finishHeaders(streamId: number, endStream: boolean): void {
    const { bytes, end } = this.#encoder;
    let start = FRAME_HEAD_BYTES;
    do {
      const next = Math.min(end, start + MAX_FRAME_BYTES);
      const first = start === FRAME_HEAD_BYTES;
      const flags =
        (first && endStream ? FLAG.endStream : 0) | (next === end ? FLAG.endHeaders : 0);
      const type = first ? FRAME.headers : FRAME.continuation;
      const at = start - FRAME_HEAD_BYTES;
      writeFrameHead(bytes, at, { type, flags, streamId, lengthBytes: next - start });
      this.#output(bytes, at, next);
      start = next;
    } while (start < end);
  }

  #word(type: number, streamId: number, value: number): void {
    writeFrameHead(this.#small, 0, { type, flags: 0, streamId, lengthBytes: 4 });
    writeUint32(this.#small, FRAME_HEAD_BYTES, value);
    this.#output(this.#small, 0, FRAME_HEAD_BYTES + 4);
  }
}
