// The endpoints of one Service port as one node sees them: what state each is in, whether it is
// used, and why not. Who decides is the plan's own code; here its reasons become words.

import type { EndpointSlice, SliceEndpoint } from "../../lib/kube/api/endpoint-slice.ts";
import {
  type Endpoint,
  type EndpointQuery,
  gatherEndpoints,
} from "../../service-proxy/model/endpoint.ts";
import {
  explainEndpoints,
  type HintsOff,
  type Place,
  type Reach,
  type UnusedBecause,
  usableEndpoints,
} from "../../service-proxy/plan/usable-endpoints.ts";

export interface EndpointRow {
  readonly address: string;
  readonly port: number;
  readonly node?: string;
  readonly zone?: string;
  readonly slice: string;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** `used`, or why not. */
  readonly cluster: string;
  readonly local: string;
}

export interface EndpointTable {
  /** How topology hints narrow policy Cluster here. */
  readonly topology: { readonly level: Reach["kind"]; readonly why: string };
  readonly rows: readonly EndpointRow[];
}

/** @param slices all slices of the Service */
export function endpointTable(
  slices: ReadonlyMap<string, EndpointSlice>,
  query: EndpointQuery,
  place: Place,
): EndpointTable {
  const merged = gatherEndpoints(slices.values(), query);
  const usable = usableEndpoints(merged, place);
  const uses = new Map(
    explainEndpoints(merged, usable).map((use) => [targetOf(use.endpoint), use]),
  );
  const origins = new Map<string, string>();
  const rows: EndpointRow[] = [];
  for (const slice of slices.values()) {
    for (const endpoint of gatherEndpoints([slice], query)) {
      const use = uses.get(targetOf(endpoint));
      if (use === undefined) continue;
      // Of several slices that list it alike, the first counts as the one it is from.
      const origin = origins.get(targetOf(endpoint));
      const taken = origin === undefined && sameState(endpoint, use.endpoint);
      if (taken) origins.set(targetOf(endpoint), slice.name);
      const winner = origin ?? originOf(use.endpoint, slices, query);
      rows.push({
        ...rowOf(endpoint, slice),
        cluster: taken ? wordsOf(use.notCluster, endpoint) : shadowed(winner),
        local: taken ? wordsOf(use.notLocal, endpoint) : shadowed(winner),
      });
    }
  }
  rows.sort(byTarget);
  return { topology: { level: usable.reach.kind, why: reachInWords(usable.reach, place) }, rows };
}

function originOf(
  endpoint: Endpoint,
  slices: ReadonlyMap<string, EndpointSlice>,
  query: EndpointQuery,
): string {
  const holds = (slice: EndpointSlice): boolean =>
    gatherEndpoints([slice], query).some(
      (other) => targetOf(other) === targetOf(endpoint) && sameState(other, endpoint),
    );
  return slices.values().find(holds)?.name ?? "";
}

function shadowed(slice: string): string {
  return `shadowed by slice ${slice}`;
}

function rowOf(endpoint: Endpoint, slice: EndpointSlice): Omit<EndpointRow, "cluster" | "local"> {
  const { address, port, ready, serving, terminating } = endpoint;
  const same = (other: SliceEndpoint): boolean =>
    other.address === address && other.ready === ready && other.terminating === terminating;
  const { nodeName, zone } = slice.endpoints.find(same) ?? {};
  return {
    address,
    port,
    ...(nodeName === undefined ? {} : { node: nodeName }),
    ...(zone === undefined ? {} : { zone }),
    slice: slice.name,
    ready,
    serving,
    terminating,
  };
}

function wordsOf(because: UnusedBecause | undefined, endpoint: Endpoint): string {
  switch (because) {
    case undefined:
      return endpoint.ready ? "used" : "used: terminating, but none is ready";
    case "not-serving":
      return "no: not serving";
    case "not-ready":
      return "no: not ready";
    case "terminating":
      return "no: terminating while others are ready";
    case "hinted-for-other-nodes":
      return `no: hinted for node ${(endpoint.hintedNodes ?? []).join(", ")}`;
    case "hinted-for-other-zones":
      return `no: hinted for zone ${(endpoint.hintedZones ?? []).join(", ")}`;
    case "on-another-node":
      return "no: on another node";
    default:
      return because satisfies never;
  }
}

function reachInWords(reach: Reach, { nodeName, zone }: Place): string {
  switch (reach.kind) {
    case "node":
      return `hints for node ${nodeName} are followed`;
    case "zone":
      return [
        `hints for zone ${reach.zone} are followed`,
        offInWords(reach.notNode, "node", nodeName),
      ].join("; ");
    case "all": {
      const { notNode, notZone } = reach;
      const bare = notZone.kind === "hint-missing" && notNode.kind === "hint-missing";
      const nodes = bare ? [] : [offInWords(notNode, "node", nodeName)];
      const zones = offInWords(notZone, "zone", zone ?? "");
      return ["no hints are followed", ...nodes, zones].join("; ");
    }
    case "none-ready":
      return "no endpoint is ready: hints do not count";
    default:
      return reach satisfies never;
  }
}

function offInWords(off: HintsOff, level: "node" | "zone", name: string): string {
  switch (off.kind) {
    case "hint-missing":
      return `${off.endpoint.address} has no ${level} hint, which turns ${level} hints off`;
    case "nobody-hinted":
      return `no ready endpoint is hinted for ${level} ${name}`;
    case "zone-unknown":
      return "this node has no zone label";
    default:
      return off satisfies never;
  }
}

function targetOf({ address, port }: { address: string; port: number }): string {
  return `${address} ${port}`;
}

function sameState(a: Endpoint, b: Endpoint): boolean {
  return a.ready === b.ready && a.serving === b.serving && a.terminating === b.terminating;
}

function byTarget(a: EndpointRow, b: EndpointRow): number {
  if (a.address !== b.address) return a.address < b.address ? -1 : 1;
  return a.port - b.port;
}
