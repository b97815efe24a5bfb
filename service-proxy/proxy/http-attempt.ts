// One try of a request at one endpoint: what is counted of it, at the endpoint and on its edge.
// Each try counts; those that were followed by another also count as retries.

import type { StreamProof } from "../../lib/reactor/byte-stream.ts";
import type { Result } from "../model/edge.ts";
import type { HttpParts } from "./http-parts.ts";
import type { EndpointState, Outcome } from "./picker-endpoint.ts";
import type { UpstreamStream, UpstreamWait } from "./upstream-pool-stream.ts";

/** An edge, but for the endpoint. */
export interface EdgeOfRequest {
  readonly source: string;
  readonly service: string;
  readonly route: string;
}

export interface Amounts {
  /** NaN where there is none to count. */
  readonly latencyMs: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

export class HttpAttempt {
  readonly endpoint: EndpointState;
  /** The connection, or the wait for one; set right after. */
  upstream: UpstreamStream | UpstreamWait | undefined;
  readonly startedMs: number;
  /** To the head of the response; NaN until there is one. */
  upstreamMs = Number.NaN;
  /** Who is at both ends of its connection, where that is proven; set when it is sent. */
  proof: StreamProof | undefined;
  readonly #parts: HttpParts;
  readonly #slot: number;
  #isSwitched = false;

  constructor(
    parts: HttpParts,
    endpoint: EndpointState,
    { source, service, route }: EdgeOfRequest,
  ) {
    const { reactor, requests } = parts;
    this.#parts = parts;
    this.endpoint = endpoint;
    this.startedMs = reactor.nowMs;
    this.#slot = requests.slot(source, service, route, endpoint.key, this.startedMs);
    requests.started(this.#slot);
    endpoint.started();
  }

  /** The final head came. */
  answered(): void {
    this.upstreamMs = this.#parts.reactor.nowMs - this.startedMs;
  }

  /** A tunnel stands: how long it lasts is no latency. */
  switched(): void {
    this.endpoint.answered(this.#parts.reactor.nowMs, this.upstreamMs);
    this.#isSwitched = true;
  }

  retried(): void {
    this.#parts.requests.retried(this.#slot);
  }

  finished(result: Result, { latencyMs, receivedBytes, sentBytes }: Amounts): void {
    const { reactor, requests } = this.#parts;
    const now = reactor.nowMs;
    const outcome = outcomeOf(result);
    const spentMs = this.#isSwitched ? Number.NaN : this.#spentMs(now);
    if (this.endpoint.finished(now, outcome, spentMs)) requests.ejected(this.#slot);
    requests.transferred(this.#slot, receivedBytes, sentBytes);
    requests.proven(this.#slot, this.proof?.carrier);
    requests.finished(this.#slot, result, latencyMs);
  }

  #spentMs(nowMs: number): number {
    return Number.isNaN(this.upstreamMs) ? nowMs - this.startedMs : this.upstreamMs;
  }
}

/** Counts a request that was sent to no endpoint. */
export function countUnsent(
  { reactor, requests }: HttpParts,
  { source, service, route }: EdgeOfRequest,
  result: Result,
  { latencyMs, receivedBytes, sentBytes }: Amounts,
): void {
  const slot = requests.slot(source, service, route, "", reactor.nowMs);
  requests.started(slot);
  requests.transferred(slot, receivedBytes, sentBytes);
  requests.finished(slot, result, latencyMs);
}

/** What a result says about the endpoint. */
function outcomeOf(result: Result): Outcome {
  switch (result) {
    case "5xx":
    case "reset":
      return "error";
    case "connect-failed":
    case "timeout":
    case "cancelled":
      return result;
    case "limit":
    case "denied":
    case "bad-request":
      return "cancelled";
    default:
      return "ok";
  }
}
