// One try of a request at one endpoint: what is counted of it, at the endpoint and on its edge. Each
// try counts; those that were followed by another also count as retries.

import type { Result } from "../model/edge.ts";
import type { HttpParts } from "./http-parts.ts";
import type { EndpointState, Outcome } from "./picker-endpoint.ts";
import type { UpstreamStream, UpstreamWait } from "./upstream-pool-stream.ts";

export class HttpAttempt {
  readonly endpoint: EndpointState;
  /** The connection, or the wait for one; set right after. */
  upstream: UpstreamStream | UpstreamWait | undefined;
  readonly startedMs: number;
  /** To the head of the response; NaN until there is one. */
  upstreamMs = Number.NaN;
  readonly #parts: HttpParts;
  readonly #slot: number;

  constructor(
    parts: HttpParts,
    endpoint: EndpointState,
    names: { readonly source: string; readonly service: string; readonly route: string },
  ) {
    const { reactor, requests } = parts;
    this.#parts = parts;
    this.endpoint = endpoint;
    this.startedMs = reactor.nowMs;
    const { source, service, route } = names;
    this.#slot = requests.slot(source, service, route, endpoint.key, this.startedMs);
    requests.started(this.#slot);
    endpoint.started();
  }

  /** The final head came. */
  answered(): void {
    this.upstreamMs = this.#parts.reactor.nowMs - this.startedMs;
  }

  retried(): void {
    this.#parts.requests.retried(this.#slot);
  }

  /** @param latencyMs of the request; NaN where there is none to count */
  finished(result: Result, latencyMs: number, receivedBytes: number, sentBytes: number): void {
    const { reactor, requests } = this.#parts;
    const now = reactor.nowMs;
    const outcome = outcomeOf(result);
    const spentMs = Number.isNaN(this.upstreamMs) ? now - this.startedMs : this.upstreamMs;
    if (this.endpoint.finished(now, outcome, spentMs)) requests.ejected(this.#slot);
    requests.transferred(this.#slot, receivedBytes, sentBytes);
    requests.finished(this.#slot, result, latencyMs);
  }
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
      return "cancelled";
    default:
      return "ok";
  }
}
