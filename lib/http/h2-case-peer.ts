// Drives one side of HTTP/2 in tests, without a transport: frames made by hand go in, in pieces of
// one shared buffer that is overwritten as on the data path; what happens is written down as text.

import { H2Connection } from "./h2-connection.ts";
import { FRAME, readUint31, readUint32, writeFrameHead } from "./h2-frame.ts";
import type { H2ClientHandler, H2ServerHandler } from "./h2-handler.ts";
import { DEFAULT_H2_LIMITS, type H2Limits } from "./h2-limits.ts";
import { HpackDecoder } from "./hpack-decoder.ts";

export const PREFACE_TEXT = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** A frame as a peer sends it; nothing about it needs to be right. */
export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const bytes = Buffer.alloc(9 + payload.length);
  writeFrameHead(bytes, 0, { type, flags, streamId, lengthBytes: payload.length });
  bytes.set(payload, 9);
  return bytes;
}

export const END_STREAM = 1;
export const END_HEADERS = 4;
export const PADDED = 8;

/** A payload of numbers, each in four bytes. */
export function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => bytes.writeUInt32BE(value, i * 4));
  return bytes;
}

/** A header block of literals that leaves no trace in a table. */
export function block(fields: readonly string[]): Buffer {
  const string = (text: string): Buffer => {
    const bytes = Buffer.from(text, "latin1");
    if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
    const rest = bytes.length - 127;
    return Buffer.concat([Buffer.of(0x7f, (rest & 127) | 128, (rest >> 7) & 127), bytes]);
  };
  const pairs = fields.flatMap((name, i) =>
    i % 2 === 0 ? [Buffer.of(0), string(name), string(fields[i + 1] ?? "")] : [],
  );
  return Buffer.concat(pairs);
}

export function headers(streamId: number, flags: number, fields: readonly string[]): Buffer {
  return frame(FRAME.headers, flags | END_HEADERS, streamId, block(fields));
}

export function data(streamId: number, flags: number, text: string): Buffer {
  return frame(FRAME.data, flags, streamId, Buffer.from(text, "latin1"));
}

/** A setting as it stands in SETTINGS. */
export function setting(identifier: number, value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(identifier, 0);
  bytes.writeUInt32BE(value, 2);
  return bytes;
}

/** Names and values of lines like `accept: text/html`. */
export function fieldLines(...lines: string[]): string[] {
  return lines.flatMap((line) => {
    const end = line.indexOf(": ", 1);
    return [line.slice(0, end), line.slice(end + 2)];
  });
}

export const GET: readonly string[] = fieldLines(
  ":method: GET",
  ":scheme: http",
  ":path: /",
  ":authority: a",
);
export const POST: readonly string[] = [":method", "POST", ...GET.slice(2)];

export class H2CasePeer {
  readonly connection: H2Connection;
  /** What the handler was told since it was looked at; pieces of a body are joined. */
  #events: string[] = [];
  #sent: Buffer[] = [];
  readonly #decoder = new HpackDecoder(1 << 20);
  /** Given back as soon as it was told, unless a test turns it off. */
  givesBack = true;
  nowMs = 0;
  /** What the handler does beside writing down. */
  onEvent: (kind: string, streamId: number) => void = () => undefined;

  constructor(kind: "server" | "client", limits: Partial<H2Limits> = {}) {
    const all = { ...DEFAULT_H2_LIMITS, ...limits };
    const output = (bytes: Buffer, start: number, end: number): void => {
      this.#sent.push(Buffer.from(bytes.subarray(start, end)));
    };
    const handler = this.#handler();
    this.connection = new H2Connection({ kind, handler }, output, all);
    this.connection.start();
  }

  /** One that has exchanged settings with its peer; what was sent for that is forgotten. */
  static open(kind: "server" | "client", limits: Partial<H2Limits> = {}): H2CasePeer {
    const peer = new H2CasePeer(kind, limits);
    if (kind === "server") peer.feed(Buffer.from(PREFACE_TEXT, "latin1"));
    peer.feed(frame(FRAME.settings, 0, 0));
    peer.takeFrames();
    return peer;
  }

  /** Hands bytes over in pieces of at most `pieceBytes`. */
  feed(bytes: Buffer, pieceBytes: number = bytes.length): void {
    const shared = Buffer.alloc(pieceBytes + 6);
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      const length = bytes.copy(shared, 3, at, Math.min(bytes.length, at + pieceBytes));
      this.connection.receive(shared, 3, 3 + length, this.nowMs);
      shared.fill(0xaa);
    }
  }

  takeEvents(): string[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  takeSent(): Buffer {
    const sent = Buffer.concat(this.#sent);
    this.#sent = [];
    return sent;
  }

  /** What was sent since, a line a frame. */
  takeFrames(): string[] {
    const bytes = this.takeSent();
    const lines: string[] = [];
    let at = bytes.indexOf(PREFACE_TEXT) === 0 ? PREFACE_TEXT.length : 0;
    while (at < bytes.length) {
      const end = at + 9 + bytes.readUIntBE(at, 3);
      lines.push(this.#describe(bytes, at, end));
      at = end;
    }
    return lines;
  }

  #describe(bytes: Buffer, at: number, end: number): string {
    const type = bytes[at + 3] ?? 0;
    const [name = "?"] = Object.entries(FRAME).find(([, number]) => number === type) ?? [];
    const flags = bytes[at + 4] ?? 0;
    const ends = (type === FRAME.data || type === FRAME.headers) && flags & 1 ? " end" : "";
    const start = `${name} ${readUint31(bytes, at + 5)}`;
    switch (type) {
      case FRAME.headers:
      case FRAME.continuation:
        return `${start} ${this.#fields(bytes, at + 9, end)}${ends}`;
      case FRAME.data:
        return `${start} ${end - at - 9}${ends}`;
      case FRAME.settings:
      case FRAME.ping:
        return `${name}${flags & 1 ? " ack" : ""}`;
      case FRAME.goAway:
        return `${name} ${readUint31(bytes, at + 9)} ${readUint32(bytes, at + 13)}`;
      default:
        return `${start} ${readUint32(bytes, at + 9)}`;
    }
  }

  #fields(bytes: Buffer, start: number, end: number): string {
    const fields: string[] = [];
    this.#decoder.decode(bytes, start, end, {
      field: ({ name, value }) => fields.push(`${name}=${value}`),
    });
    return fields.join(" ");
  }

  #tell(kind: string, streamId: number, text: string, endStream: boolean): void {
    this.#events.push(`${kind} ${streamId}${text}${endStream ? " end" : ""}`);
    this.onEvent(kind, streamId);
  }

  #tellData(streamId: number, text: string, endStream: boolean): void {
    const start = `data ${streamId} `;
    const last = this.#events.at(-1) ?? "";
    if (last.startsWith(start) && !last.endsWith(" end")) {
      this.#events.pop();
      this.#tell("data", streamId, ` ${last.slice(start.length)}${text}`, endStream);
    } else {
      this.#tell("data", streamId, ` ${text}`, endStream);
    }
  }

  #handler(): H2ServerHandler & H2ClientHandler {
    return {
      onRequest: (streamId, head, endStream) =>
        this.#tell("request", streamId, ` ${JSON.stringify(head)}`, endStream),
      onResponse: (streamId, head, endStream) =>
        this.#tell("response", streamId, ` ${head.status} ${head.fields.join(" ")}`, endStream),
      onData: (streamId, bytes, start, end, endStream) => {
        this.#tellData(streamId, bytes.toString("latin1", start, end), endStream);
        if (this.givesBack) this.connection.consumed(streamId, end - start);
      },
      onTrailers: (streamId, fields) =>
        this.#tell("trailers", streamId, ` ${fields.join(" ")}`, false),
      onReset: (streamId, code) => this.#tell("reset", streamId, ` ${code}`, false),
      onRefused: (streamId) => this.#tell("refused", streamId, "", false),
      onWindow: (streamId) => this.#tell("window", streamId, "", false),
      onGoAway: (lastStreamId, code) => this.#tell("goaway", lastStreamId, ` ${code}`, false),
      onPong: () => this.#tell("pong", 0, "", false),
      onClosed: (problem) =>
        this.#tell("closed", 0, problem === undefined ? "" : ` ${problem.code}`, false),
    };
  }
}

/** Carries bytes both ways until none are left. */
export function exchange(one: H2CasePeer, other: H2CasePeer): void {
  for (;;) {
    const there = one.takeSent();
    other.feed(there);
    const back = other.takeSent();
    one.feed(back);
    if (there.length + back.length === 0) return;
  }
}
