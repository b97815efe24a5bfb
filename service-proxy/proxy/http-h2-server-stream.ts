// One request of a client that speaks HTTP/2.

import type { H1Body } from "../../lib/http/h1-head.ts";
import type { H2Connection } from "../../lib/http/h2-connection.ts";
import { H2_ERROR } from "../../lib/http/h2-frame.ts";
import type { H2RequestHead } from "../../lib/http/h2-head.ts";
import type { FieldLines, RequestHead } from "../../lib/http/message.ts";
import type { ClientResponse, ClientStream } from "./http-client-stream.ts";
import { HttpExchange } from "./http-exchange.ts";
import { H2Flow } from "./http-h2-flow.ts";
import type { HttpParts } from "./http-parts.ts";
import type { HttpDoor } from "./http-routing.ts";
import { fromSwitch, toUpgrade, WEBSOCKET } from "./http-websocket.ts";

/** What the streams of one connection share: its transport. */
export interface H2Congestion {
  /** Whether the transport keeps bytes back; `onUncongested` follows then. */
  isCongested(stream: H2ServerStream): boolean;
  onStreamOver(streamId: number, stream: H2ServerStream): void;
}

const KEY_BYTES = 16;
const NO_FIELDS: FieldLines = [];

export class H2ServerStream implements ClientStream {
  readonly protocol = "http2";
  readonly #parts: HttpParts;
  readonly #door: HttpDoor;
  readonly #connection: H2Connection;
  readonly #id: number;
  readonly #congestion: H2Congestion;
  readonly #flow: H2Flow;
  #exchange: HttpExchange | undefined;
  #method = "";
  #requestWhole = false;
  #bodyMs: number;
  /** What came of a tunnel that does not stand yet. */
  #early: Buffer[] | undefined;
  #ended = false;
  #responseEnded = false;
  #answered = false;

  constructor(
    parts: HttpParts,
    door: HttpDoor,
    connection: H2Connection,
    { id, congestion }: { readonly id: number; readonly congestion: H2Congestion },
  ) {
    this.#parts = parts;
    this.#door = door;
    this.#connection = connection;
    this.#id = id;
    this.#congestion = congestion;
    this.#flow = new H2Flow(parts.reactor, connection, id);
    this.#bodyMs = parts.reactor.nowMs;
  }

  /**
   * Since when the client owes the rest of its request; infinite when it owes nothing, and once it
   * is answered: a stream of gRPC may rest for hours.
   */
  get owesSinceMs(): number {
    const owes = !this.#requestWhole && !this.#answered && !this.#flow.paused;
    return owes ? this.#bodyMs : Number.POSITIVE_INFINITY;
  }

  start(received: H2RequestHead, endStream: boolean): void {
    const { expectContinue, contentLength } = received;
    const isTunnel = received.upgrade === WEBSOCKET;
    const head = isTunnel ? toUpgrade(received, this.#randomKey()) : plainHead(received);
    this.#method = head.method;
    this.#requestWhole = endStream;
    const exchange = new HttpExchange(this.#parts, this.#door, this, {
      head,
      body: bodyOf(isTunnel || endStream, contentLength),
      expectContinue,
    });
    this.#exchange = exchange;
    if (isTunnel) this.#early = [];
    exchange.start();
    // Whatever comes on an extended CONNECT belongs to the tunnel.
    if (isTunnel || endStream) this.#exchange?.onRequestEnd(NO_FIELDS);
  }

  onData(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    if (this.#early !== undefined) this.#early.push(Buffer.from(bytes.subarray(start, end)));
    else if (end > start) this.#exchange?.onRequestBody(bytes, start, end);
    this.#bodyMs = this.#parts.reactor.nowMs;
    this.#flow.received(end - start);
    if (endStream) this.onRequestEnd(NO_FIELDS);
  }

  onRequestEnd(trailers: FieldLines): void {
    this.#requestWhole = true;
    if (this.#early === undefined) this.#exchange?.onRequestEnd(trailers);
  }

  onWindow(): void {
    if (!this.#flow.onWindow()) return;
    if (this.#ended) this.#over();
    else if (!this.#congestion.isCongested(this)) this.#exchange?.onClientDrained();
  }

  onUncongested(): void {
    if (!this.#flow.waits) this.#exchange?.onClientDrained();
  }

  /** The rest of its request is given up. */
  onTooSlow(): void {
    this.#connection.reset(this.#id, H2_ERROR.cancel);
    this.onGone();
  }

  /** The client has reset it, or is gone. */
  onGone(): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    exchange?.onClientGone("cancelled");
    this.#over();
  }

  respond(head: ClientResponse, body: H1Body): void {
    if (head.status >= 200 || head.status === 101) this.#answered = true;
    if (body.kind === "tunnel") {
      this.#connection.respond(this.#id, { ...fromSwitch(head), contentLength: undefined }, false);
      return this.#openTunnel();
    }
    if (head.status < 200) {
      return this.#connection.respond(this.#id, responseOf(head, undefined), false);
    }
    const isEmpty =
      body.kind === "none" ||
      this.#method === "HEAD" ||
      (body.kind === "length" && body.lengthBytes === 0);
    this.#responseEnded = isEmpty;
    this.#connection.respond(this.#id, responseOf(head, statedLength(body)), isEmpty);
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    if (this.#responseEnded) return true;
    const isTaken = this.#flow.write(bytes, start, end);
    return isTaken && !this.#congestion.isCongested(this);
  }

  end(trailers: FieldLines): void {
    this.#exchange = undefined;
    this.#ended = true;
    if (!this.#responseEnded) this.#flow.end(trailers);
    if (!this.#flow.waits) this.#over();
  }

  abort(): void {
    this.#exchange = undefined;
    this.#connection.reset(this.#id, H2_ERROR.internal);
    this.#over();
  }

  pause(): void {
    this.#flow.pause();
  }

  resume(): void {
    this.#bodyMs = this.#parts.reactor.nowMs;
    this.#flow.resume();
  }

  #openTunnel(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const bytes of early) this.#exchange?.onRequestBody(bytes, 0, bytes.length);
    if (this.#requestWhole) this.#exchange?.onRequestEnd(NO_FIELDS);
  }

  #over(): void {
    this.#flow.close();
    // Nobody reads the rest of this request (RFC 9113 §8.1).
    if (!this.#requestWhole) this.#connection.reset(this.#id, H2_ERROR.noError);
    this.#congestion.onStreamOver(this.#id, this);
  }

  #randomKey(): Buffer {
    const key = Buffer.alloc(KEY_BYTES);
    for (let i = 0; i < KEY_BYTES; i++) key[i] = Math.floor(this.#parts.random() * 256);
    return key;
  }
}

function plainHead({ method, authority, path, fields }: RequestHead): RequestHead {
  return { method, authority, path, fields };
}

function bodyOf(isEmpty: boolean, contentLength: number | undefined): H1Body {
  if (isEmpty) return { kind: "none" };
  if (contentLength === undefined) return { kind: "chunked" };
  return { kind: "length", lengthBytes: contentLength };
}

function statedLength(body: H1Body): number | undefined {
  if (body.kind === "length") return body.lengthBytes;
  return body.kind === "none" ? body.statedBytes : undefined;
}

function responseOf(
  { status, fields }: ClientResponse,
  contentLength: number | undefined,
): { status: number; fields: FieldLines; contentLength: number | undefined } {
  return { status, fields, contentLength };
}
