// Which requests went over an edge lately: the newest few of each, and a limit for all together.

import type { RecordedEdge, RecordedRequest } from "../model/edge-report.ts";

interface Kept {
  /** The newest last. */
  readonly requests: Map<string, RecordedRequest>;
  hasMore: boolean;
}

const MAX_REQUESTS_OF_EDGE = 20;
const MAX_REQUESTS = 20_000;

export class RequestBook {
  /** Those that had a request last stand last. */
  readonly #edges = new Map<string, Kept>();
  readonly #maxRequests: number;
  #count = 0;

  constructor(maxRequests = MAX_REQUESTS) {
    this.#maxRequests = maxRequests;
  }

  /** @param hasMore there were others, which nobody kept */
  add(edge: string, requests: readonly RecordedRequest[], hasMore: boolean): void {
    const kept = this.#edges.get(edge) ?? { requests: new Map(), hasMore: false };
    this.#edges.delete(edge);
    this.#edges.set(edge, kept);
    kept.hasMore ||= hasMore;
    for (const request of requests) this.#keep(kept, request);
    for (const oldest of this.#edges.keys()) {
      if (this.#count <= this.#maxRequests) break;
      this.forget(oldest);
    }
  }

  forget(edge: string): void {
    this.#count -= this.#edges.get(edge)?.requests.size ?? 0;
    this.#edges.delete(edge);
  }

  /** What an edge is told with. */
  of(edge: string): Pick<RecordedEdge, "requests" | "hasMoreRequests"> {
    const kept = this.#edges.get(edge);
    if (kept === undefined) return {};
    const requests = [...kept.requests.values()];
    return { requests, ...(kept.hasMore && { hasMoreRequests: true }) };
  }

  #keep(kept: Kept, request: RecordedRequest): void {
    const { method, host, path } = request;
    const name = `${method} ${host} ${path}`;
    this.#count -= kept.requests.size;
    kept.requests.delete(name);
    kept.requests.set(name, request);
    const [oldest] = kept.requests.keys();
    if (kept.requests.size > MAX_REQUESTS_OF_EDGE && oldest !== undefined) {
      kept.requests.delete(oldest);
      kept.hasMore = true;
    }
    this.#count += kept.requests.size;
  }
}
