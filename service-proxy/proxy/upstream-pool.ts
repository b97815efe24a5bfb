// Connections to endpoints, kept for the next request. A pool belongs to one endpoint and one
// source address: what a pod sends never travels on a connection that was opened for another pod.

import type { ProxyGroup } from "../model/proxy-plan.ts";
import type { EndpointState } from "./picker-endpoint.ts";
import { type Freshness, type PoolParts, UpstreamPool } from "./upstream-pool-endpoint.ts";
import { SharedUpstreamPool } from "./upstream-pool-shared.ts";
import type {
  UpstreamOwner,
  UpstreamStream,
  UpstreamTarget,
  UpstreamWait,
} from "./upstream-pool-stream.ts";

interface Pool {
  open(
    target: UpstreamTarget,
    owner: UpstreamOwner,
    freshness: Freshness,
  ): UpstreamStream | UpstreamWait;
  closeIdle(): void;
}

/** By endpoint, then by whom connections are for. */
type Pools = Map<EndpointState, Map<string, Pool>>;

export class UpstreamPools {
  readonly #parts: PoolParts;
  readonly #pools: Readonly<Record<ProxyGroup["protocol"], Pools>> = {
    http1: new Map(),
    http2: new Map(),
  };

  constructor(parts: PoolParts) {
    this.#parts = parts;
  }

  /**
   * A stream to send one request on, at once or later.
   * @param freshness says nothing of HTTP/2, which tells what it did not process
   */
  open(
    target: UpstreamTarget,
    owner: UpstreamOwner,
    freshness: Freshness,
  ): UpstreamStream | UpstreamWait {
    return this.#pool(target).open(target, owner, freshness);
  }

  /** Closes idle connections to endpoints that the plan no longer names. */
  prune(): void {
    for (const byEndpoint of Object.values(this.#pools)) {
      for (const [endpoint, pools] of byEndpoint) {
        if (!endpoint.planned) for (const pool of pools.values()) pool.closeIdle();
      }
    }
  }

  #pool({ endpoint, from, group, client }: UpstreamTarget): Pool {
    const { protocol, proxyProtocol } = group.plan;
    // The PROXY protocol's header names a client, and a tunnel proves one: those connections are
    // for nobody else.
    const isPersonal = proxyProtocol || this.#parts.dialer.isPersonal(client.address);
    const key = isPersonal ? `for ${client.address}` : (from ?? "");
    const byEndpoint = this.#pools[protocol];
    const pools = byEndpoint.get(endpoint) ?? new Map<string, Pool>();
    const known = pools.get(key);
    if (known !== undefined) return known;
    byEndpoint.set(endpoint, pools);
    const onEmpty = (): void => {
      if (pools.get(key) === pool) pools.delete(key);
      if (pools.size === 0 && byEndpoint.get(endpoint) === pools) byEndpoint.delete(endpoint);
    };
    const pool: Pool =
      protocol === "http2"
        ? new SharedUpstreamPool(this.#parts, endpoint, onEmpty)
        : new UpstreamPool(this.#parts, onEmpty);
    pools.set(key, pool);
    return pool;
  }
}
