// Heads and trailers as they arrive: joins the frames of a block, decodes every block for the sake
// of the shared table, and says what each is to its stream (RFC 9113 §4.3, §6.2, §6.10, §8.1).

import { FLAG, FRAME, H2_ERROR } from "./h2-frame.ts";
import type { FrameHead } from "./h2-frame-reader.ts";
import type { H2ClientHandler, H2ServerHandler } from "./h2-handler.ts";
import { H2HeadBuilder } from "./h2-head.ts";
import type { H2Session } from "./h2-session.ts";
import type { BodyLength, H2Stream } from "./h2-stream.ts";
import { HpackDecoder } from "./hpack-decoder.ts";

/** A block whose frames are still arriving. */
interface OpenBlock {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly pieces: Buffer[];
  lengthBytes: number;
}

const PRIORITY_BYTES = 5;

export class H2MessageReader {
  readonly #session: H2Session;
  readonly #decoder: HpackDecoder;
  readonly #builder = new H2HeadBuilder();
  #block: OpenBlock | undefined;

  constructor(session: H2Session) {
    this.#session = session;
    this.#decoder = new HpackDecoder(session.limits.headerListBytes);
  }

  /** Why this frame may not come now: a block is not interrupted. */
  orderProblem({ type, streamId }: FrameHead): string | undefined {
    const block = this.#block;
    if (block === undefined) {
      return type === FRAME.continuation ? "CONTINUATION continues nothing" : undefined;
    }
    if (type === FRAME.continuation && streamId === block.streamId) return undefined;
    return "Header block is interrupted";
  }

  headers(head: FrameHead, bytes: Buffer, start: number, end: number): void {
    const padded = (head.flags & FLAG.padded) !== 0;
    const paddingBytes = padded ? (bytes[start] ?? 0) : 0;
    const from =
      start + (padded ? 1 : 0) + ((head.flags & FLAG.priority) === 0 ? 0 : PRIORITY_BYTES);
    const to = end - paddingBytes;
    if (from > end) {
      this.#session.fail(H2_ERROR.frameSize, "HEADERS frame is shorter than its fields");
    } else if (from > to) {
      this.#session.fail(H2_ERROR.protocol, "HEADERS frame is shorter than its padding");
    } else {
      const endStream = (head.flags & FLAG.endStream) !== 0;
      if (head.flags & FLAG.endHeaders) {
        this.#decode({ streamId: head.streamId, endStream }, bytes, from, to);
        return;
      }
      const piece = Buffer.from(bytes.subarray(from, to));
      this.#block = {
        streamId: head.streamId,
        endStream,
        pieces: [piece],
        lengthBytes: piece.length,
      };
    }
  }

  continuation(head: FrameHead, bytes: Buffer, start: number, end: number): void {
    const block = this.#block;
    if (block === undefined) return;
    const { limits } = this.#session;
    block.pieces.push(Buffer.from(bytes.subarray(start, end)));
    block.lengthBytes += end - start;
    if (
      block.pieces.length > limits.continuations + 1 ||
      block.lengthBytes > limits.headerListBytes
    ) {
      this.#session.fail(H2_ERROR.enhanceYourCalm, "Header block has no end");
    } else if (head.flags & FLAG.endHeaders) {
      this.#block = undefined;
      this.#decode(block, Buffer.concat(block.pieces), 0, block.lengthBytes);
    }
  }

  #decode(
    { streamId, endStream }: Pick<OpenBlock, "streamId" | "endStream">,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const session = this.#session;
    this.#builder.begin();
    const outcome = this.#decoder.decode(bytes, start, end, this.#builder);
    if (outcome === "broken") {
      session.fail(H2_ERROR.compression, "Header block cannot be decoded");
      return;
    }
    const tooLarge = outcome === "too-large";
    const stream = session.streams.get(streamId);
    if (stream === undefined) {
      this.#openStream(streamId, endStream, tooLarge);
    } else if (stream.receiving === "over") {
      session.refuse(streamId, H2_ERROR.streamClosed);
    } else if (tooLarge) {
      session.refuse(streamId, H2_ERROR.enhanceYourCalm);
    } else if (stream.receiving === "body") {
      this.#trailers(stream, endStream);
    } else if (session.role.kind === "client") {
      this.#response(session.role.handler, stream, endStream);
    }
  }

  #openStream(streamId: number, endStream: boolean, tooLarge: boolean): void {
    const session = this.#session;
    const absence = session.absence(streamId);
    const { role } = session;
    if (absence === "reset") {
      session.spend("idle-frames");
    } else if (absence === "closed") {
      session.fail(H2_ERROR.streamClosed, "HEADERS for a stream that is closed");
    } else if (role.kind === "client" || streamId % 2 === 0) {
      session.fail(H2_ERROR.protocol, "HEADERS open a stream that the peer may not open");
    } else {
      session.lastPeerStreamId = streamId;
      if (session.busyStreams >= session.limits.streams) {
        session.sendReset(streamId, H2_ERROR.refusedStream);
        session.spend("refused-streams");
      } else if (tooLarge) {
        this.#refuseLarge(streamId, endStream);
      } else {
        this.#request(role.handler, streamId, endStream);
      }
    }
  }

  #request(handler: H2ServerHandler, streamId: number, endStream: boolean): void {
    const session = this.#session;
    const head = this.#builder.request(session.limits.extendedConnect);
    const length = head?.contentLength ?? "unknown";
    if (head === undefined || (endStream && length !== "unknown" && length > 0)) {
      session.refuse(streamId, H2_ERROR.protocol);
      return;
    }
    const stream = session.addStream(streamId, "body", "");
    stream.expectBody(length, endStream);
    session.earn("pings", 1);
    handler.onRequest(streamId, head, endStream);
    session.retire(stream);
  }

  /** RFC 6585 §5: the client learns what was wrong. */
  #refuseLarge(streamId: number, endStream: boolean): void {
    const session = this.#session;
    session.writer.response(streamId, { status: 431, fields: [] }, true);
    if (!endStream) session.sendReset(streamId, H2_ERROR.noError);
    session.spend("own-resets");
  }

  #response(handler: H2ClientHandler, stream: H2Stream, endStream: boolean): void {
    const session = this.#session;
    const head = this.#builder.response();
    if (head === undefined || (head.status < 200 && endStream)) {
      session.refuse(stream.id, H2_ERROR.protocol);
      return;
    }
    if (head.status < 200) {
      if (session.spend("interim-responses")) handler.onResponse(stream.id, head, false);
      return;
    }
    if (!stream.expectBody(bodyLength(stream.method, head), endStream)) {
      session.refuse(stream.id, H2_ERROR.protocol);
      return;
    }
    session.earn("pings", 1);
    handler.onResponse(stream.id, head, endStream);
    session.retire(stream);
  }

  #trailers(stream: H2Stream, endStream: boolean): void {
    const session = this.#session;
    const fields = this.#builder.trailers();
    if (fields === undefined || !endStream || !stream.takeBody(0, true)) {
      session.refuse(stream.id, H2_ERROR.protocol);
      return;
    }
    stream.receiving = "over";
    session.role.handler.onTrailers(stream.id, fields);
    session.retire(stream);
  }
}

/** RFC 9110 §6.4.1, §8.6: some answers have no body, whatever length they tell. */
function bodyLength(
  method: string,
  head: { readonly status: number; readonly contentLength: number | undefined },
): BodyLength {
  if (method === "HEAD" || head.status === 204 || head.status === 304) return 0;
  if (method === "CONNECT" && head.status < 300) return "unknown";
  return head.contentLength ?? "unknown";
}
