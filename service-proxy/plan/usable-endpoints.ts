// Which endpoints a node may use, by traffic policy, topology hints and termination.

import type { Endpoint } from "../model/endpoint.ts";

/** Where this node stands, as its Node object says. */
export interface Place {
  readonly nodeName: string;
  /** From label topology.kubernetes.io/zone. */
  readonly zone?: string;
}

export interface UsableEndpoints {
  /** For policy Cluster. Empty means no endpoint is usable anywhere. */
  readonly cluster: readonly Endpoint[];
  /** For policy Local. */
  readonly local: readonly Endpoint[];
  /** Some endpoint is usable on some node: an empty `local` then drops instead of rejecting. */
  readonly anywhere: boolean;
}

/**
 * Picks the endpoints this node may use for one Service port.
 * Ready ones win; where none is ready, serving ones that terminate are used, each policy by
 * itself. Topology hints narrow the ready ones for policy Cluster only.
 * @param endpoints one port, one address family, any order
 * @returns in the order given; never throws
 * @see https://kep.k8s.io/1669 (terminating), https://kep.k8s.io/2433 (hints)
 */
export function usableEndpoints(endpoints: readonly Endpoint[], place: Place): UsableEndpoints {
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  const draining = endpoints.filter((e) => !e.ready && e.serving && e.terminating);
  const cluster = ready.length > 0 ? nearest(ready, place) : draining;
  const localReady = ready.filter((endpoint) => endpoint.local);
  const local = localReady.length > 0 ? localReady : draining.filter((endpoint) => endpoint.local);
  return { cluster, local, anywhere: cluster.length > 0 };
}

/**
 * Follows hints: endpoints for this node, else for this zone, else all. One ready endpoint
 * without a hint of a level turns that level off, so that no endpoint is starved by accident.
 */
function nearest(ready: readonly Endpoint[], place: Place): readonly Endpoint[] {
  if (ready.every((endpoint) => (endpoint.hintedNodes ?? []).length > 0)) {
    const here = ready.filter((e) => e.hintedNodes?.includes(place.nodeName) === true);
    if (here.length > 0) return here;
  }
  const { zone } = place;
  if (zone !== undefined && ready.every((endpoint) => (endpoint.hintedZones ?? []).length > 0)) {
    const near = ready.filter((endpoint) => endpoint.hintedZones?.includes(zone) === true);
    if (near.length > 0) return near;
  }
  return ready;
}
