// A copy of a request for another group: sent once the request is whole, answered to nobody. It has
// a small limit of its own and no retries, so that it takes nothing from those it copies.

import type { H1Body } from "../../lib/http/h1-head.ts";
import type { RequestHead } from "../../lib/http/message.ts";
import { sourceAddress } from "./client.ts";
import { ClientGuard } from "./client-guard.ts";
import type { Expiring } from "./deadlines.ts";
import type { HttpParts } from "./http-parts.ts";
import type { HttpDoor } from "./http-routing.ts";
import type { EndpointState, Outcome } from "./picker-endpoint.ts";
import type { ServedGroup } from "./proxy-tables.ts";
import type { UpstreamOwner, UpstreamStream, UpstreamWait } from "./upstream-pool-stream.ts";

/** Under way at one time, on one worker; what is beyond is not mirrored. */
const MOST_MIRRORS = 256;
const TIMEOUT_MS = 15_000;

export interface MirrorRequest {
  readonly head: RequestHead;
  /** The whole body. */
  readonly chunks: readonly Buffer[];
  readonly group: ServedGroup;
}

/** How many mirrored requests a worker has under way. */
export class MirrorLimit {
  #taken = 0;

  /** @returns false at the limit; true must be followed by one `release` */
  tryTake(): boolean {
    if (this.#taken >= MOST_MIRRORS) return false;
    this.#taken++;
    return true;
  }

  release(): void {
    this.#taken--;
  }
}

export class MirroredRequest implements UpstreamOwner, Expiring {
  readonly deadlineMs: number;
  readonly #parts: HttpParts;
  readonly #request: MirrorRequest;
  readonly #endpoint: EndpointState;
  readonly #startedMs: number;
  #upstream: UpstreamStream | UpstreamWait | undefined;
  #over = false;

  private constructor(parts: HttpParts, request: MirrorRequest, endpoint: EndpointState) {
    this.#parts = parts;
    this.#request = request;
    this.#endpoint = endpoint;
    this.#startedMs = parts.reactor.nowMs;
    this.deadlineMs = this.#startedMs + TIMEOUT_MS;
  }

  /** Sends it, unless there is no endpoint or too much is under way. */
  static send(parts: HttpParts, door: HttpDoor, request: MirrorRequest): void {
    const { client, side, dialled, port } = door;
    const { group } = request;
    const { permits } = new ClientGuard(parts.dialer, door);
    const asked = { clientAddress: client.address, permits };
    const endpoint = group.endpoints.pick(asked, parts.reactor.nowMs, parts.random);
    if (endpoint === undefined || !parts.mirrors.tryTake()) return;
    endpoint.started();
    const mirrored = new MirroredRequest(parts, request, endpoint);
    parts.deadlines.add(mirrored);
    const from = sourceAddress(client, side, endpoint.endpoint);
    const { connectTimeoutMs } = port.plan.limits;
    const target = { group, endpoint, from, client, dialled, connectTimeoutMs };
    const opened = parts.pools.open(target, mirrored, "young");
    mirrored.#upstream = opened;
    if (opened.kind === "stream") mirrored.onReady(opened);
  }

  onReady(upstream: UpstreamStream): void {
    this.#upstream = upstream;
    const { head, chunks } = this.#request;
    let lengthBytes = 0;
    for (const chunk of chunks) lengthBytes += chunk.length;
    const body: H1Body = lengthBytes === 0 ? { kind: "none" } : { kind: "length", lengthBytes };
    const { upgrade: _, ...plain } = head;
    upstream.send({ head: plain, body, expectContinue: false });
    for (const chunk of chunks) upstream.write(chunk, 0, chunk.length);
    upstream.end([]);
  }

  onResponse(): void {}
  onResponseBody(): void {}
  onUpstreamDrained(): void {}

  onResponseEnd(): void {
    this.#finish("ok");
  }

  onUpstreamFailed(): void {
    this.#finish("connect-failed");
  }

  onDeadline(): void {
    this.#upstream?.cancel();
    this.#finish("timeout");
  }

  #finish(outcome: Outcome): void {
    if (this.#over) return;
    this.#over = true;
    const { deadlines, mirrors, reactor } = this.#parts;
    deadlines.remove(this);
    mirrors.release();
    const now = reactor.nowMs;
    this.#endpoint.finished(now, outcome, now - this.#startedMs);
  }
}
