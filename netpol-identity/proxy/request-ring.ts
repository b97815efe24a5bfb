// Which requests a worker saw since it last told: a few of each pair of client and endpoint, each
// once, so that what is told each second stays small, however many there are.

import type { RecordedRequest, SeenRequests } from "../model/edge-report.ts";

const MOST_REQUESTS = 500;
const MOST_REQUESTS_OF_EDGE = 20;
/** Longer ones are not kept: half a path is another one. */
const MOST_CHARACTERS = 256;

interface Seen {
  readonly client: string;
  readonly endpoint: string;
  readonly requests: Map<string, RecordedRequest>;
  hasMore: boolean;
}

export class RequestRing {
  readonly #edges = new Map<string, Seen>();
  #count = 0;

  /** @param endpoint `address:port` of the pod */
  add(client: string, endpoint: string, { method, host, path }: RecordedRequest): void {
    const seen = this.#seenOf(client, endpoint);
    const name = `${method} ${host} ${path}`;
    if (seen === undefined || seen.requests.has(name)) return;
    const isFull = this.#count >= MOST_REQUESTS || seen.requests.size >= MOST_REQUESTS_OF_EDGE;
    if (isFull || name.length > MOST_CHARACTERS) {
      seen.hasMore = true;
      return;
    }
    seen.requests.set(name, { method, host, path });
    this.#count++;
  }

  take(): readonly SeenRequests[] {
    const taken = [...this.#edges.values()].map(({ requests, ...rest }) => ({
      ...rest,
      requests: [...requests.values()],
    }));
    this.#edges.clear();
    this.#count = 0;
    return taken;
  }

  #seenOf(client: string, endpoint: string): Seen | undefined {
    const key = `${client} ${endpoint}`;
    const known = this.#edges.get(key);
    if (known !== undefined || this.#edges.size >= MOST_REQUESTS) return known;
    const seen = { client, endpoint, requests: new Map<string, RecordedRequest>(), hasMore: false };
    this.#edges.set(key, seen);
    return seen;
  }
}
