// From a group to a connection: picks an endpoint, dials it, and tries others when it cannot be
// reached. Every attempt counts at its endpoint.

import type { StreamOwner, TcpStream } from "../../lib/reactor/tcp-stream.ts";
import type { FrontendSide } from "../model/proxy-plan.ts";
import { type Client, sourceAddress } from "./client.ts";
import type { Expiring } from "./deadlines.ts";
import type { EndpointState } from "./picker-endpoint.ts";
import type { ServedGroup } from "./proxy-tables.ts";
import type { RelayParts } from "./relay-parts.ts";

export interface DialRequest {
  readonly group: ServedGroup;
  readonly client: Client;
  readonly side: FrontendSide;
  readonly connectTimeoutMs: number;
}

/** An open connection, and the endpoint at the other end. */
export interface Dialled {
  readonly stream: TcpStream;
  /** Was told `started`; whoever takes it must tell it `finished`. */
  readonly endpoint: EndpointState;
  readonly connectMs: number;
}

export type DialFailure = "no-endpoints" | "connect-failed" | "timeout" | "limit";

/** Hears one of the two, once, never from within the constructor's call. */
export interface DialOwner {
  onDialled(dialled: Dialled): void;
  onDialFailed(why: DialFailure): void;
}

/** Beside the first. The connect timeout is for all of them together. */
const MORE_ATTEMPTS = 2;

export class UpstreamDial implements StreamOwner, Expiring {
  readonly #parts: RelayParts;
  readonly #request: DialRequest;
  readonly #owner: DialOwner;
  readonly #failed: EndpointState[] = [];
  readonly deadlineMs: number;
  #stream: TcpStream | undefined;
  #endpoint: EndpointState | undefined;
  #startedMs: number;
  #over = false;

  constructor(parts: RelayParts, request: DialRequest, owner: DialOwner) {
    this.#parts = parts;
    this.#request = request;
    this.#owner = owner;
    this.#startedMs = parts.reactor.nowMs;
    this.deadlineMs = this.#startedMs + request.connectTimeoutMs;
    parts.deadlines.add(this);
    this.#attempt();
  }

  /** The client is gone: nobody hears anything more. */
  cancel(): void {
    if (this.#over) return;
    this.#end();
    this.#stream?.close();
    this.#endpoint?.finished(this.#parts.reactor.nowMs, "cancelled", this.#elapsedMs());
  }

  onOpen(): void {
    const [stream, endpoint] = [this.#stream, this.#endpoint];
    if (stream === undefined || endpoint === undefined || this.#over) return;
    this.#end();
    this.#owner.onDialled({ stream, endpoint, connectMs: this.#elapsedMs() });
  }

  onClosed(): void {
    this.#attemptFailed("connect-failed");
  }

  onDeadline(): void {
    this.#stream?.close();
    this.#endpoint?.finished(this.#parts.reactor.nowMs, "timeout", this.#elapsedMs());
    this.#fail("timeout");
  }

  onData(): void {}
  onEnd(): void {}
  onDrained(): void {}

  #attempt(): void {
    const { reactor, random, dialer } = this.#parts;
    const { group, client, side } = this.#request;
    const asked = { clientAddress: client.address, avoid: this.#failed };
    const endpoint = group.endpoints.pick(asked, reactor.nowMs, random);
    if (endpoint === undefined) return this.#fail("no-endpoints");
    // The same again: there is nobody else.
    if (this.#failed.includes(endpoint)) return this.#fail("connect-failed");
    this.#endpoint = endpoint;
    this.#startedMs = reactor.nowMs;
    endpoint.started();
    const { address, port } = endpoint.endpoint;
    const from = sourceAddress(client, side, endpoint.endpoint);
    const to = { address, port };
    const stream = dialer.dial(from === undefined ? { to } : { to, from }, this);
    if (typeof stream === "string") reactor.later(() => this.#attemptFailed("connect-failed"));
    else this.#stream = stream;
  }

  #attemptFailed(why: DialFailure): void {
    if (this.#over) return;
    const endpoint = this.#endpoint;
    this.#stream = undefined;
    if (endpoint !== undefined) {
      endpoint.finished(this.#parts.reactor.nowMs, "connect-failed", this.#elapsedMs());
      this.#failed.push(endpoint);
    }
    if (this.#failed.length <= MORE_ATTEMPTS) this.#attempt();
    else this.#fail(why);
  }

  #fail(why: DialFailure): void {
    this.#end();
    this.#parts.reactor.later(() => this.#owner.onDialFailed(why));
  }

  #end(): void {
    this.#over = true;
    this.#parts.deadlines.remove(this);
  }

  #elapsedMs(): number {
    return this.#parts.reactor.nowMs - this.#startedMs;
  }
}
