// Which endpoints a node may use, by traffic policy, topology hints and termination.

import type { Endpoint } from "../model/endpoint.ts";

/** Where this node stands, as its Node object says. */
export interface Place {
  readonly nodeName: string;
  /** From label topology.kubernetes.io/zone. */
  readonly zone?: string;
}

/** Why endpoints are not chosen by hints of one level. */
export type HintsOff =
  /** One ready endpoint without a hint of this level turns the level off. */
  | { readonly kind: "hint-missing"; readonly endpoint: Endpoint }
  /** Every ready endpoint has a hint, and none of them names this place. */
  | { readonly kind: "nobody-hinted" }
  | { readonly kind: "zone-unknown" };

/** How near policy Cluster keeps to this node, and why not nearer. */
export type Reach =
  | { readonly kind: "node" }
  | {
      readonly kind: "zone";
      readonly zone: string;
      /** Ready ones that are hinted for other zones. */
      readonly beyond: readonly Endpoint[];
      readonly notNode: HintsOff;
    }
  | { readonly kind: "all"; readonly notNode: HintsOff; readonly notZone: HintsOff }
  /** No endpoint is ready: hints do not count, those that terminate are used wherever they are. */
  | { readonly kind: "none-ready" };

/** Whom a port leads to, by policy. */
export interface UsableTargets {
  /** For policy Cluster. Empty means no endpoint is usable anywhere. */
  readonly cluster: readonly Endpoint[];
  /** For policy Local. */
  readonly local: readonly Endpoint[];
  /** Some endpoint is usable on some node: an empty `local` then drops instead of rejecting. */
  readonly anywhere: boolean;
}

export interface UsableEndpoints extends UsableTargets {
  /** What made `cluster`. */
  readonly reach: Reach;
}

/** Why one endpoint is not among those of a policy. */
export type UnusedBecause =
  | "not-serving"
  /** Serving, but neither ready nor terminating. */
  | "not-ready"
  /** Others of the same policy are ready. */
  | "terminating"
  | "hinted-for-other-nodes"
  | "hinted-for-other-zones"
  | "on-another-node";

/** What becomes of one endpoint; a reason is missing where the endpoint is used. */
export interface EndpointUse {
  readonly endpoint: Endpoint;
  readonly notCluster?: UnusedBecause;
  readonly notLocal?: UnusedBecause;
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
  const { chosen: cluster, reach } =
    ready.length > 0 ? nearest(ready, place) : { chosen: draining, reach: NONE_READY };
  const localReady = ready.filter((endpoint) => endpoint.local);
  const local = localReady.length > 0 ? localReady : draining.filter((endpoint) => endpoint.local);
  return { cluster, local, anywhere: cluster.length > 0, reach };
}

/**
 * Says of each endpoint why it was not picked.
 * @param usable what `usableEndpoints` made of these endpoints: it decides, this only explains
 */
export function explainEndpoints(
  endpoints: readonly Endpoint[],
  usable: UsableEndpoints,
): readonly EndpointUse[] {
  const cluster = new Set(usable.cluster);
  const local = new Set(usable.local);
  return endpoints.map((endpoint) => ({
    endpoint,
    ...(cluster.has(endpoint) ? {} : { notCluster: whyNotCluster(endpoint, usable.reach) }),
    ...(local.has(endpoint) ? {} : { notLocal: whyNotLocal(endpoint) }),
  }));
}

const NONE_READY: Reach = { kind: "none-ready" };

/**
 * Follows hints: endpoints for this node, else for this zone, else all. One ready endpoint
 * without a hint of a level turns that level off, so that no endpoint is starved by accident.
 */
function nearest(
  ready: readonly Endpoint[],
  { nodeName, zone }: Place,
): { readonly chosen: readonly Endpoint[]; readonly reach: Reach } {
  const here = hintedFor(ready, "hintedNodes", nodeName);
  if (here.kind === "chosen") return { chosen: here.endpoints, reach: { kind: "node" } };
  const near = hintedFor(ready, "hintedZones", zone);
  if (near.kind === "chosen") {
    const beyond = ready.filter((endpoint) => !near.endpoints.includes(endpoint));
    const reach: Reach = { kind: "zone", zone: near.name, beyond, notNode: here };
    return { chosen: near.endpoints, reach };
  }
  return { chosen: ready, reach: { kind: "all", notNode: here, notZone: near } };
}

interface Hinted {
  readonly kind: "chosen";
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
}

function hintedFor(
  ready: readonly Endpoint[],
  hints: "hintedNodes" | "hintedZones",
  name: string | undefined,
): HintsOff | Hinted {
  const endpoint = ready.find((candidate) => (candidate[hints] ?? []).length === 0);
  if (endpoint !== undefined) return { kind: "hint-missing", endpoint };
  if (name === undefined) return { kind: "zone-unknown" };
  const endpoints = ready.filter((candidate) => candidate[hints]?.includes(name) === true);
  return endpoints.length > 0 ? { kind: "chosen", name, endpoints } : { kind: "nobody-hinted" };
}

function whyNotCluster(endpoint: Endpoint, reach: Reach): UnusedBecause {
  if (!endpoint.ready) return whyNotReady(endpoint);
  return reach.kind === "node" ? "hinted-for-other-nodes" : "hinted-for-other-zones";
}

function whyNotLocal(endpoint: Endpoint): UnusedBecause {
  return endpoint.local ? whyNotReady(endpoint) : "on-another-node";
}

function whyNotReady({ serving, terminating }: Endpoint): UnusedBecause {
  if (!serving) return "not-serving";
  return terminating ? "terminating" : "not-ready";
}
