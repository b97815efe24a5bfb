// From a group to a connection: picks an endpoint, dials it, and tries others when it cannot be
// reached, or not soon. Every attempt counts at its endpoint, but for what this machine lacks.

import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import type { FrontendSide } from "../model/proxy-plan.ts";
import { type Client, dialOptions, sourceAddress } from "./client.ts";
import { ClientGuard } from "./client-guard.ts";
import type { Expiring } from "./deadlines.ts";
import type { EndpointState } from "./picker-endpoint.ts";
import type { ServedGroup } from "./proxy-tables.ts";
import type { StreamParts } from "./relay-parts.ts";

export interface DialRequest {
  readonly group: ServedGroup;
  readonly client: Client;
  readonly side: FrontendSide;
  readonly connectTimeoutMs: number;
}

/** An open connection, and the endpoint at the other end. */
export interface Dialled {
  readonly stream: ByteStream;
  /** Was told `started`; whoever takes it must tell it `finished`. */
  readonly endpoint: EndpointState;
  readonly connectMs: number;
}

export type DialFailure = "no-endpoints" | "connect-failed" | "timeout" | "limit" | "denied";

/** Hears one of the two, once, never from within the constructor's call. */
export interface DialOwner {
  onDialled(dialled: Dialled): void;
  /** @param rule of a policy, where one is why */
  onDialFailed(why: DialFailure, rule: string | undefined): void;
}

/** Beside the first. The connect timeout is for all of them together. */
const MORE_ATTEMPTS = 2;
/** What policies say, here or at the endpoint's node. No endpoint is to blame. */
export const DENIED = "EACCES";
/** What this machine is short of: ports, descriptors, memory. No endpoint is to blame. */
export const OWN_FAILURES = /^(EADDRINUSE|EADDRNOTAVAIL|EAGAIN|EMFILE|ENFILE|ENOBUFS|ENOMEM)$/;

export class UpstreamDial implements StreamOwner, Expiring {
  readonly #parts: StreamParts;
  readonly #request: DialRequest;
  readonly #owner: DialOwner;
  readonly #failed: EndpointState[] = [];
  readonly #guard: ClientGuard;
  readonly #endMs: number;
  deadlineMs = Number.POSITIVE_INFINITY;
  #stream: ByteStream | undefined;
  #endpoint: EndpointState | undefined;
  #startedMs: number;
  #over = false;
  #cancelled = false;

  constructor(parts: StreamParts, request: DialRequest, owner: DialOwner) {
    this.#parts = parts;
    this.#request = request;
    this.#owner = owner;
    this.#guard = new ClientGuard(parts.dialer, request);
    this.#startedMs = parts.reactor.nowMs;
    this.#endMs = this.#startedMs + request.connectTimeoutMs;
    parts.deadlines.add(this);
    const first = this.#pick();
    if (first === undefined) this.#fail(this.#guard.rule === undefined ? "no-endpoints" : "denied");
    else this.#attempt(first);
  }

  /** The client is gone: nobody hears anything more. */
  cancel(): void {
    this.#cancelled = true;
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

  onClosed(code: string | undefined): void {
    this.#attemptFailed(code ?? "ECONNRESET");
  }

  /** Of one attempt: another endpoint may answer, and where there is none, this one still may. */
  onDeadline(nowMs: number): void {
    const next = nowMs >= this.#endMs ? undefined : this.#nextPick();
    if (next === undefined && nowMs < this.#endMs) {
      this.deadlineMs = this.#endMs;
      return;
    }
    this.#stream?.close();
    this.#endpoint?.finished(nowMs, "timeout", this.#elapsedMs());
    if (next === undefined) this.#fail("timeout");
    else this.#attempt(next);
  }

  onData(): void {}
  onEnd(): void {}
  onDrained(): void {}

  #attempt(endpoint: EndpointState): void {
    const { reactor, dialer } = this.#parts;
    const { client, side, connectTimeoutMs } = this.#request;
    this.#stream = undefined;
    this.#endpoint = endpoint;
    this.#startedMs = reactor.nowMs;
    this.deadlineMs = this.#startedMs + connectTimeoutMs / (1 + MORE_ATTEMPTS);
    endpoint.started();
    const { address, port } = endpoint.endpoint;
    const from = sourceAddress(client, side, endpoint.endpoint);
    const stream = dialer.dial(dialOptions(client, { to: { address, port }, from }), this);
    if (typeof stream === "string") reactor.later(() => this.#attemptFailed(stream));
    else this.#stream = stream;
  }

  #attemptFailed(code: string): void {
    if (this.#over) return;
    const isDenied = code === DENIED;
    const outcome = isDenied || OWN_FAILURES.test(code) ? "cancelled" : "connect-failed";
    this.#endpoint?.finished(this.#parts.reactor.nowMs, outcome, this.#elapsedMs());
    const next = this.#nextPick();
    if (next === undefined) this.#fail(isDenied ? "denied" : "connect-failed");
    else this.#attempt(next);
  }

  /** Someone who was not tried yet; undefined when there is nobody, or it was tried enough. */
  #nextPick(): EndpointState | undefined {
    if (this.#endpoint !== undefined) this.#failed.push(this.#endpoint);
    if (this.#failed.length > MORE_ATTEMPTS) return undefined;
    const next = this.#pick();
    return next === undefined || this.#failed.includes(next) ? undefined : next;
  }

  #pick(): EndpointState | undefined {
    const { reactor, random } = this.#parts;
    const { group, client } = this.#request;
    const { permits } = this.#guard;
    const asked = { clientAddress: client.address, avoid: this.#failed, permits };
    return group.endpoints.pick(asked, reactor.nowMs, random);
  }

  #fail(why: DialFailure): void {
    this.#end();
    this.#parts.reactor.later(() => {
      if (this.#cancelled) return;
      this.#owner.onDialFailed(why, why === "denied" ? this.#guard.rule : undefined);
    });
  }

  #end(): void {
    this.#over = true;
    this.#parts.deadlines.remove(this);
  }

  #elapsedMs(): number {
    return this.#parts.reactor.nowMs - this.#startedMs;
  }
}
