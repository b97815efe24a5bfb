// A connection to an endpoint that speaks HTTP/2, shared by the requests of one source address.

import type { H1Body } from "../../lib/http/h1-head.ts";
import { H2Connection } from "../../lib/http/h2-connection.ts";
import { H2_ERROR } from "../../lib/http/h2-frame.ts";
import type { H2ClientHandler } from "../../lib/http/h2-handler.ts";
import type { H2ResponseHead } from "../../lib/http/h2-head.ts";
import { DEFAULT_H2_LIMITS } from "../../lib/http/h2-limits.ts";
import type { FieldLines } from "../../lib/http/message.ts";
import type { Reactor } from "../../lib/reactor/reactor.ts";
import type { ByteStream, StreamOwner, StreamProof } from "../../lib/reactor/byte-stream.ts";
import type { ClientRequest, ClientResponse } from "./http-client-stream.ts";
import { H2Flow } from "./http-h2-flow.ts";
import { HttpOutput } from "./http-output.ts";
import { toExtendedConnect, toSwitch } from "./http-websocket.ts";
import type { UpstreamParts } from "./upstream-pool-h1.ts";
import type { UpstreamFailure, UpstreamOwner, UpstreamStream } from "./upstream-pool-stream.ts";

const NO_FIELDS: FieldLines = [];

export class UpstreamH2 implements StreamOwner {
  /** When the last stream ended; meaningless while there is one. */
  idleSinceMs: number;
  readonly reactor: Reactor;
  readonly connection: H2Connection;
  readonly #stream: ByteStream;
  readonly proof: StreamProof | undefined;
  readonly #output: HttpOutput;
  readonly #onGone: () => void;
  readonly #streams = new Map<number, UpstreamH2Stream>();
  readonly #congested = new Set<UpstreamH2Stream>();
  #requests = 0;
  /** Upgrades that wait for the endpoint's settings; undefined once they are known. */
  #upgrades: (() => void)[] | undefined = [];
  #closed = false;

  /**
   * @param stream open, its events told to this object
   * @param onGone called once, when the connection is closed
   */
  constructor(stream: ByteStream, { reactor, output }: UpstreamParts, onGone: () => void) {
    this.reactor = reactor;
    this.#stream = stream;
    this.proof = stream.proof;
    const gathered = new HttpOutput(output, stream);
    this.#output = gathered;
    this.#onGone = onGone;
    this.idleSinceMs = reactor.nowMs;
    this.connection = new H2Connection(
      { kind: "client", handler: this.#handler() },
      (bytes, start, end) => void gathered.write(bytes, start, end),
      DEFAULT_H2_LIMITS,
    );
    this.connection.start();
  }

  get hasRoom(): boolean {
    return !this.#closed && this.connection.canOpen;
  }

  get isIdle(): boolean {
    return this.#streams.size === 0;
  }

  /** Others were answered here before: what breaks now may just have been closed. */
  get wasUsed(): boolean {
    return this.#requests > 1;
  }

  lend(owner: UpstreamOwner): UpstreamStream {
    return new UpstreamH2Stream(this, owner);
  }

  /** Closes it; it must be idle. */
  close(): void {
    if (this.#closed) return;
    this.connection.goAway(H2_ERROR.noError);
    this.#end("reset");
  }

  /** @internal Calls back when it is known whether the endpoint takes upgrades, unless it is. */
  awaitSettings(send: () => void): boolean {
    this.#upgrades?.push(send);
    return this.#upgrades !== undefined;
  }

  /** @internal */
  opened(id: number, stream: UpstreamH2Stream): void {
    this.#requests++;
    this.#streams.set(id, stream);
  }

  /** @internal */
  ended(id: number, stream: UpstreamH2Stream): void {
    this.#streams.delete(id);
    this.#congested.delete(stream);
    if (this.#streams.size === 0) this.idleSinceMs = this.reactor.nowMs;
  }

  /** @internal */
  isCongested(stream: UpstreamH2Stream): boolean {
    if (this.#stream.queuedBytes === 0) return false;
    this.#congested.add(stream);
    return true;
  }

  onData(bytes: Buffer, start: number, end: number): void {
    this.connection.receive(bytes, start, end, this.reactor.nowMs);
    // Settings are the first frame of a server; whoever sends half of it first takes no upgrades.
    this.#sendUpgrades();
  }

  onEnd(): void {
    this.#end("reset");
  }

  onDrained(): void {
    for (const stream of this.#congested) {
      if (this.#stream.queuedBytes > 0) return;
      this.#congested.delete(stream);
      stream.onUncongested();
    }
  }

  onClosed(): void {
    this.#end("reset");
  }

  #handler(): H2ClientHandler {
    const streamOf = (id: number): UpstreamH2Stream | undefined => this.#streams.get(id);
    return {
      onResponse: (id, head, endStream) => streamOf(id)?.onResponse(head, endStream),
      onData: (id, bytes, start, end, endStream) => {
        const stream = streamOf(id);
        if (stream === undefined) this.connection.consumed(id, end - start);
        else stream.onData(bytes, start, end, endStream);
      },
      onTrailers: (id, fields) => streamOf(id)?.onEnd(fields),
      onReset: (id) => streamOf(id)?.fail("reset"),
      onRefused: (id) => streamOf(id)?.fail("unprocessed"),
      onWindow: (id) => streamOf(id)?.onWindow(),
      onGoAway: () => {},
      onPong: () => {},
      onClosed: () => this.#end("reset"),
    };
  }

  #sendUpgrades(): void {
    const upgrades = this.#upgrades;
    this.#upgrades = undefined;
    if (upgrades !== undefined) for (const send of upgrades) send();
  }

  #end(why: UpstreamFailure): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#output.flush();
    this.#stream.close();
    this.#onGone();
    this.#sendUpgrades();
    for (const stream of this.#streams.values()) stream.onBroken(why);
  }
}

/** One request on a shared connection. */
class UpstreamH2Stream implements UpstreamStream {
  readonly kind = "stream";
  readonly proof: StreamProof | undefined;
  readonly #shared: UpstreamH2;
  #owner: UpstreamOwner | undefined;
  #request: ClientRequest | undefined;
  #id = 0;
  #flow: H2Flow | undefined;
  #requestEnded = false;
  #answering = false;
  #isTunnel = false;

  constructor(shared: UpstreamH2, owner: UpstreamOwner) {
    this.#shared = shared;
    this.proof = shared.proof;
    this.#owner = owner;
  }

  send(request: ClientRequest): void {
    const { head, body, expectContinue } = request;
    const { connection, reactor } = this.#shared;
    const isUpgrade = head.upgrade !== undefined;
    if (this.#owner === undefined) return;
    if (isUpgrade && this.#shared.awaitSettings(() => this.send(request))) return;
    const why = isUpgrade && !connection.canOpenExtendedConnect ? "protocol" : "unprocessed";
    const { method, authority, path, fields } = head;
    const contentLength = body.kind === "length" ? body.lengthBytes : undefined;
    const sent = isUpgrade
      ? toExtendedConnect(head)
      : { method, authority, path, fields, contentLength, expectContinue };
    this.#requestEnded = !isUpgrade && (body.kind === "none" || contentLength === 0);
    const id = why === "protocol" ? undefined : connection.open(sent, "http", this.#requestEnded);
    if (id === undefined) return reactor.later(() => this.fail(why));
    this.#request = request;
    this.#id = id;
    this.#flow = new H2Flow(reactor, connection, id);
    this.#shared.opened(id, this);
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    if (this.#flow === undefined) return true;
    return this.#flow.write(bytes, start, end) && !this.#shared.isCongested(this);
  }

  end(trailers: FieldLines): void {
    // The end of an upgrade's head is not the end of its tunnel.
    const isHeadOnly = this.#request?.head.upgrade !== undefined && !this.#isTunnel;
    if (this.#requestEnded || isHeadOnly) return;
    this.#requestEnded = true;
    this.#flow?.end(trailers);
  }

  cancel(): void {
    this.#owner = undefined;
    this.#over(H2_ERROR.cancel);
  }

  pause(): void {
    this.#flow?.pause();
  }

  resume(): void {
    this.#flow?.resume();
  }

  onResponse(head: H2ResponseHead, endStream: boolean): void {
    const { status, fields } = head;
    const request = this.#request?.head;
    if (status < 200 || request === undefined) {
      return this.#owner?.onResponse({ status, fields }, { kind: "none" });
    }
    this.#answering = true;
    const isSwitch = request.upgrade !== undefined && status < 300;
    this.#isTunnel = isSwitch;
    const response: ClientResponse = { status, fields };
    if (isSwitch) this.#owner?.onResponse(toSwitch(response, request), { kind: "tunnel" });
    else this.#owner?.onResponse(response, bodyOf(head, endStream));
    if (endStream) this.onEnd(NO_FIELDS);
  }

  onData(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    if (end > start) this.#owner?.onResponseBody(bytes, start, end);
    this.#flow?.received(end - start);
    if (endStream) this.onEnd(NO_FIELDS);
  }

  onEnd(trailers: FieldLines): void {
    const owner = this.#owner;
    this.#owner = undefined;
    this.#over(H2_ERROR.noError);
    owner?.onResponseEnd(trailers);
  }

  onWindow(): void {
    if (this.#flow?.onWindow() === true && !this.#shared.isCongested(this)) {
      this.#owner?.onUpstreamDrained();
    }
  }

  onUncongested(): void {
    if (this.#flow?.waits === false) this.#owner?.onUpstreamDrained();
  }

  fail(why: UpstreamFailure): void {
    const owner = this.#owner;
    this.#owner = undefined;
    this.#flow?.close();
    this.#shared.ended(this.#id, this);
    owner?.onUpstreamFailed(why);
  }

  onBroken(why: UpstreamFailure): void {
    this.fail(!this.#answering && this.#shared.wasUsed ? "stale" : why);
  }

  /** The rest of a request that is answered, or given up, is not sent. */
  #over(errorCode: number): void {
    if (this.#id === 0) return;
    const isClean = errorCode === H2_ERROR.noError && this.#requestEnded;
    const isUnsent = this.#flow?.waits === true;
    this.#flow?.close();
    if (!isClean || isUnsent) this.#shared.connection.reset(this.#id, errorCode);
    this.#shared.ended(this.#id, this);
  }
}

function bodyOf({ contentLength }: H2ResponseHead, endStream: boolean): H1Body {
  if (endStream)
    return contentLength === undefined
      ? { kind: "none" }
      : { kind: "none", statedBytes: contentLength };
  if (contentLength === undefined) return { kind: "chunked" };
  return { kind: "length", lengthBytes: contentLength };
}
