// Passes TLS through unopened, to whom its server name leads: reads the ClientHello, within a limit
// of bytes and time, then relays it and all that follows.

import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import { readClientHello } from "../../lib/tls/client-hello.ts";
import type { Failure, Result } from "../model/edge.ts";
import type { ServerNameRoute } from "../model/proxy-plan.ts";
import { countRefusal } from "./client.ts";
import type { Expiring } from "./deadlines.ts";
import type { StreamParts } from "./relay-parts.ts";
import { chooseBackend } from "./route-choice.ts";
import { TcpRelay, type TcpRelayRequest } from "./tcp-relay.ts";
import { backendsForName } from "./tls-route.ts";

/** Real ones have some 500 bytes, 2,000 with post-quantum keys. */
const MOST_HELLO_BYTES = 16_384;
const HELLO_TIMEOUT_MS = 5_000;

export type TlsRelayRequest = Pick<TcpRelayRequest, "client" | "side" | "port" | "onEnd"> & {
  readonly routes: readonly ServerNameRoute[];
};

export class TlsRelay implements StreamOwner, Expiring {
  readonly deadlineMs: number;
  readonly #parts: StreamParts;
  readonly #request: TlsRelayRequest;
  readonly #down: ByteStream;
  #read = Buffer.alloc(0);
  #relay: TcpRelay | undefined;

  /** @param down accepted, and paused */
  constructor(parts: StreamParts, down: ByteStream, request: TlsRelayRequest) {
    this.#parts = parts;
    this.#request = request;
    this.#down = down;
    this.deadlineMs = parts.reactor.nowMs + HELLO_TIMEOUT_MS;
    parts.deadlines.add(this);
    down.owner = this;
    down.resume();
  }

  onData(bytes: Buffer, start: number, end: number): void {
    this.#read = Buffer.concat([this.#read, bytes.subarray(start, end)]);
    const read = readClientHello(this.#read);
    if (read.kind === "hello") return this.#pass(read.hello.serverName);
    if (read.kind === "no-hello" || this.#read.length >= MOST_HELLO_BYTES) {
      this.#refuse("bad-request");
    }
  }

  onEnd(): void {
    this.#refuse("bad-request");
  }

  onDrained(): void {}

  onClosed(): void {
    this.#refuse("cancelled");
  }

  onDeadline(): void {
    this.#refuse("timeout");
  }

  /** As long as it lasts: see TcpRelay. */
  drain(): void {}

  /** Resets what is open. */
  abort(result: Extract<Result, Failure>): void {
    if (this.#relay === undefined) this.#refuse(result);
    else this.#relay.abort(result);
  }

  #pass(serverName: string | undefined): void {
    const { routes, port, client, side, onEnd } = this.#request;
    const backends = backendsForName(routes, serverName);
    if (backends === undefined) return this.#refuse("no-route");
    const { tables } = this.#parts;
    const key = chooseBackend(backends, tables.nextShare(backends))?.group;
    const group = key === undefined ? undefined : tables.group(key);
    if (group === undefined) return this.#refuse("bad-route");
    this.#parts.deadlines.remove(this);
    this.#down.pause();
    const early = this.#read;
    const request = { client, side, port, group, route: "", early, onEnd };
    this.#relay = new TcpRelay(this.#parts, this.#down, request);
  }

  #refuse(why: Failure): void {
    const { client, port, onEnd } = this.#request;
    this.#parts.deadlines.remove(this);
    this.#down.reset();
    countRefusal(this.#parts, client, { group: port.plan, route: "" }, why);
    onEnd();
  }
}
