// The store, kept equal to what one node needs of an API server.

import { setMaxListeners } from "node:events";
import type { Clock } from "../../clock/clock.ts";
import { parseEndpointSlice } from "../api/endpoint-slice.ts";
import { makeIntern } from "../api/intern.ts";
import { parseNode } from "../api/node.ts";
import { parseService } from "../api/service.ts";
import { parseServiceCidr } from "../api/service-cidr.ts";
import type { KubeClient } from "../client.ts";
import type { WatchedResource } from "../resource-sink.ts";
import type { Kind, KubeStore } from "../store.ts";
import { runReflector } from "../watch.ts";
import type { WatchReport } from "../watch-report.ts";
import { SLICE_SELECTOR, serviceSelector } from "./selection.ts";

export interface ApiSourceOptions {
  readonly client: KubeClient;
  /** This node's name; of all Nodes only this one is watched. */
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
  /** @default every kind */
  readonly kinds?: readonly Kind[];
}

export const ALL_KINDS: readonly Kind[] = ["Service", "EndpointSlice", "Node", "ServiceCIDR"];

/** Fills the store until `signal` aborts. Never rejects: what fails is told and tried again. */
export async function runApiSource(options: ApiSourceOptions): Promise<void> {
  const { kinds = ALL_KINDS } = options;
  // Every watch of every kind listens to this one signal; that many is no leak.
  setMaxListeners(0, options.signal);
  await Promise.all(
    kinds.map((kind) => runReflector({ ...options, resource: watchedResource(kind, options) })),
  );
}

function watchedResource(
  kind: Kind,
  { nodeName, serviceProxyName }: Pick<ApiSourceOptions, "nodeName" | "serviceProxyName">,
): WatchedResource {
  switch (kind) {
    case "Service":
      return {
        kind,
        scope: "namespaced",
        path: "/api/v1/services",
        query: {
          labelSelector: serviceSelector(serviceProxyName),
          fieldSelector: "spec.clusterIP!=None",
        },
        presence: "required",
        parse: parseService,
      };
    case "EndpointSlice": {
      const intern = makeIntern();
      return {
        kind,
        scope: "namespaced",
        path: "/apis/discovery.k8s.io/v1/endpointslices",
        query: { labelSelector: SLICE_SELECTOR },
        presence: "required",
        parse: (value) => parseEndpointSlice(value, intern),
      };
    }
    case "Node":
      return {
        kind,
        scope: "cluster",
        path: "/api/v1/nodes",
        query: { fieldSelector: `metadata.name=${nodeName}` },
        presence: "required",
        parse: parseNode,
      };
    case "ServiceCIDR":
      return {
        kind,
        scope: "cluster",
        path: "/apis/networking.k8s.io/v1/servicecidrs",
        query: {},
        // Stable since Kubernetes 1.33; older roles may not grant it either.
        presence: "optional",
        parse: parseServiceCidr,
      };
    default:
      return kind satisfies never;
  }
}
