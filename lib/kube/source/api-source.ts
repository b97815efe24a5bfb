// The store, kept equal to what one node needs of an API server.

import { setMaxListeners } from "node:events";
import type { Clock } from "../../clock/clock.ts";
import { parseEndpointSlice } from "../api/endpoint-slice.ts";
import { type Labels, makeIntern, makeJsonIntern } from "../api/intern.ts";
import { type Pod, parsePod } from "../api/pod.ts";
import type { KubeClient } from "../client.ts";
import type { WatchedResource } from "../resource-sink.ts";
import { type Kind, type KubeStore, ROUTE_KINDS } from "../store.ts";
import { runReflector } from "../watch.ts";
import type { WatchReport } from "../watch-report.ts";
import { KIND_TABLE } from "./kind-table.ts";
import { SLICE_SELECTOR, serviceSelector } from "./selection.ts";

export interface ApiSourceOptions {
  readonly client: KubeClient;
  /** This node's name. */
  readonly nodeName: string;
  /** Made for the same kinds. */
  readonly store: KubeStore;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly signal: AbortSignal;
  readonly onEvent: (report: WatchReport) => void;
  /** Serve only Services labelled for this proxy; undefined: only those labelled for none. */
  readonly serviceProxyName?: string;
  /** @default ALL_KINDS */
  readonly kinds?: readonly Kind[];
  /** Peers of a tunnel are pods elsewhere. @default "of-node" */
  readonly pods?: "of-node" | "all";
  /** Policies may name all. @default "own" */
  readonly nodes?: "own" | "all";
  /** Looks over the shoulder of every parser. @default nobody does */
  readonly adapt?: (resource: WatchedResource) => WatchedResource;
}

/** What a node needs. */
export const ALL_KINDS: readonly Kind[] = [
  "Service",
  "EndpointSlice",
  "Node",
  "ServiceCIDR",
  "Namespace",
  "Pod",
  ...ROUTE_KINDS,
];

/** What a node needs that gives its pods identities. */
export const IDENTITY_KINDS: readonly Kind[] = [...ALL_KINDS, "ServiceAccount"];

/** What a node needs that enforces policies, of all pods and Nodes. */
export const POLICY_KINDS: readonly Kind[] = [
  ...IDENTITY_KINDS,
  "NetworkPolicy",
  "ClusterNetworkPolicy",
  "ServiceAccountPolicy",
  "MeshPolicy",
];

/** Fills the store until `signal` aborts. Never rejects: what fails is told and tried again. */
export async function runApiSource(options: ApiSourceOptions): Promise<void> {
  const { kinds = ALL_KINDS, adapt = (resource) => resource } = options;
  // Every watch of every kind listens to this one signal; that many is no leak.
  setMaxListeners(0, options.signal);
  await Promise.all(
    kinds.map((kind) =>
      runReflector({ ...options, resource: adapt(watchedResource(kind, options)) }),
    ),
  );
}

function watchedResource(kind: Kind, options: ApiSourceOptions): WatchedResource {
  const facts = KIND_TABLE[kind];
  const { scope, plural, presence, parse } = facts;
  const [apiVersion] = facts.apiVersions;
  const root = apiVersion.includes("/") ? "apis" : "api";
  const path = `/${root}/${apiVersion}/${plural}`;
  const resource = { kind, scope, path, presence, query: selectionOf(kind, options), parse };
  const text = makeIntern();
  if (kind === "EndpointSlice") {
    return { ...resource, parse: (value) => parseEndpointSlice(value, text) };
  }
  if (kind !== "Pod") return resource;
  const interns = { text, labels: makeJsonIntern<Labels>(), ports: makeJsonIntern<Pod["ports"]>() };
  return { ...resource, parse: (value) => parsePod(value, interns) };
}

/** What of a kind one node needs; nothing means all of it. */
function selectionOf(
  kind: Kind,
  { nodeName, serviceProxyName, pods, nodes }: ApiSourceOptions,
): WatchedResource["query"] {
  switch (kind) {
    case "Service":
      return {
        labelSelector: serviceSelector(serviceProxyName),
        fieldSelector: "spec.clusterIP!=None",
      };
    case "EndpointSlice":
      return { labelSelector: SLICE_SELECTOR };
    case "Pod":
      return pods === "all" ? {} : { fieldSelector: `spec.nodeName=${nodeName}` };
    case "Node":
      return nodes === "all" ? {} : { fieldSelector: `metadata.name=${nodeName}` };
    default:
      return {};
  }
}
