// A connection to an endpoint that speaks HTTP/1.1: one request at a time, and others after it
// where both sides keep it open.

import {
  CHUNK_END,
  chunkHeader,
  encodeLastChunk,
  encodeRequestHead,
} from "../../lib/http/h1-encode.ts";
import type { H1Body, H1ResponseHead } from "../../lib/http/h1-head.ts";
import { DEFAULT_H1_LIMITS } from "../../lib/http/h1-limits.ts";
import { H1Parser, RESPONSES } from "../../lib/http/h1-parser.ts";
import type { FieldLines, RequestHead } from "../../lib/http/message.ts";
import type { ByteStream, StreamProof } from "../../lib/reactor/byte-stream.ts";
import type { Reactor } from "../../lib/reactor/reactor.ts";
import type { ClientRequest } from "./http-client-stream.ts";
import { HeldBytes } from "./http-held-bytes.ts";
import type { OutputBuffer } from "../../lib/reactor/output-buffer.ts";
import { HttpOutput } from "./http-output.ts";
import type { UpstreamFailure, UpstreamOwner, UpstreamStream } from "./upstream-pool-stream.ts";

/** Who keeps the connection. */
export interface UpstreamKeeper {
  /** The connection may take another request now. */
  onIdle(connection: UpstreamH1): void;
  /** It is closed, or is about to be: it must not be used again. */
  onGone(): void;
}

/** What connections to endpoints share. */
export interface UpstreamParts {
  readonly reactor: Reactor;
  readonly output: OutputBuffer;
}

export class UpstreamH1 implements UpstreamStream {
  readonly kind = "stream";
  readonly proof: StreamProof | undefined;
  readonly #stream: ByteStream;
  readonly #output: HttpOutput;
  readonly #keeper: UpstreamKeeper;
  readonly #parser = new H1Parser<H1ResponseHead>(
    RESPONSES,
    {
      onHead: (head) => this.#onHead(head),
      onBody: (bytes, start, end) => this.#onBody(bytes, start, end),
      onEnd: (trailers) => this.#onMessageEnd(trailers),
    },
    DEFAULT_H1_LIMITS,
  );
  #owner: UpstreamOwner | undefined;
  #body: H1Body["kind"] = "none";
  #requests = 0;
  #requestEnded = false;
  /** Trailers of a response that has ended. */
  #ended: FieldLines | undefined;
  #answering = false;
  #keepAlive = true;
  #paused = false;
  readonly #held: HeldBytes;
  #closed = false;

  /** @param stream open, its events told to this object */
  constructor(stream: ByteStream, { reactor, output }: UpstreamParts, keeper: UpstreamKeeper) {
    this.#stream = stream;
    this.proof = stream.proof;
    this.#output = new HttpOutput(output, stream);
    this.#held = new HeldBytes(reactor);
    this.#keeper = keeper;
  }

  /** Lends the connection for one request. */
  lend(owner: UpstreamOwner): void {
    this.#owner = owner;
  }

  send({ head, body, expectContinue }: ClientRequest): void {
    this.#requests++;
    this.#requestEnded = false;
    this.#ended = undefined;
    this.#answering = false;
    const framing = { body: framed(body, head.method), expectContinue };
    this.#body = framing.body.kind;
    this.#parser.expectResponseTo(head);
    this.#output.text(encodeRequestHead(withoutTe(head), framing));
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    if (this.#body !== "chunked") return this.#output.write(bytes, start, end);
    this.#output.text(chunkHeader(end - start));
    const goesOn = this.#output.write(bytes, start, end);
    this.#output.text(CHUNK_END);
    return goesOn;
  }

  end(trailers: FieldLines): void {
    if (this.#parser.state === "tunnel") return this.#output.end();
    if (this.#body === "chunked") this.#output.text(encodeLastChunk(trailers));
    this.#requestEnded = true;
  }

  cancel(): void {
    this.#owner = undefined;
    this.close();
  }

  pause(): void {
    this.#paused = true;
    this.#parser.pause();
    this.#stream.pause();
  }

  resume(): void {
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    this.#parser.resume();
    const held = this.#held.take();
    if (held !== undefined) this.onData(held, 0, held.length);
    if (this.#paused || this.#closed) return;
    this.#stream.resume();
  }

  /** Closes it; nobody who uses it hears of that. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#held.take();
    this.#stream.close();
    this.#keeper.onGone();
  }

  onData(bytes: Buffer, start: number, end: number): void {
    if (this.#owner === undefined) return this.close();
    const taken = this.#parser.feed(bytes, start, end);
    if (this.#closed) return;
    if (this.#ended !== undefined) return this.#finish(this.#ended, taken === end - start);
    if (this.#parser.problem !== undefined) return this.#fail("protocol");
    if (start + taken < end) this.#held.hold(bytes, start + taken, end);
  }

  onEnd(): void {
    if (this.#owner === undefined) return this.close();
    const broken = this.#brokenNow();
    this.#parser.eof();
    if (this.#closed) return;
    if (this.#ended === undefined) this.#fail(broken);
    else this.#finish(this.#ended, false);
  }

  onDrained(): void {
    this.#owner?.onUpstreamDrained();
  }

  onClosed(code: string | undefined): void {
    if (this.#closed) return;
    if (code === undefined) this.onEnd();
    else this.#fail(this.#brokenNow());
  }

  #brokenNow(): UpstreamFailure {
    const nothingCame = !this.#answering && this.#parser.state === "idle";
    return nothingCame && this.#requests > 1 ? "stale" : "reset";
  }

  #onHead(head: H1ResponseHead): void {
    this.#answering = true;
    this.#keepAlive = head.keepAlive;
    this.#owner?.onResponse(head, head.body);
  }

  #onBody(bytes: Buffer, start: number, end: number): void {
    this.#owner?.onResponseBody(bytes, start, end);
  }

  /** Told on after the bytes are read: nothing may stand behind a response (see `#finish`). */
  #onMessageEnd(trailers: FieldLines): void {
    this.#ended = trailers;
  }

  /**
   * The connection goes back first, so that what the end leads to finds it. Bytes behind the
   * response answer nobody: who sends them may not be trusted with another request.
   */
  #finish(trailers: FieldLines, isClean: boolean): void {
    const owner = this.#owner;
    this.#owner = undefined;
    this.#ended = undefined;
    const isIdle = this.#parser.state === "idle" && this.#requestEnded;
    if (isIdle && isClean && this.#keepAlive) {
      this.resume();
      this.#keeper.onIdle(this);
    } else this.close();
    owner?.onResponseEnd(trailers);
  }

  #fail(why: UpstreamFailure): void {
    const owner = this.#owner;
    this.#owner = undefined;
    this.close();
    owner?.onUpstreamFailed(why);
  }
}

/** Methods that mean to have a body say that it is empty (RFC 9110 §8.6). */
function framed(body: H1Body, method: string): H1Body {
  const meansBody = method === "POST" || method === "PUT" || method === "PATCH";
  return body.kind === "none" && meansBody ? { kind: "length", lengthBytes: 0 } : body;
}

/** TE is about one hop; HTTP/2 has it in its requests, where it means less. */
function withoutTe(head: RequestHead): RequestHead {
  const at = head.fields.indexOf("te");
  if (at === -1 || at % 2 === 1) return head;
  return { ...head, fields: [...head.fields.slice(0, at), ...head.fields.slice(at + 2)] };
}
