// discovery.k8s.io/v1 EndpointSlice: the fields Innermesh reads, checked at the edge.

import type { IpFamily, Protocol } from "./service.ts";

export interface SlicePort {
  /** "" when unset, which matches an unnamed Service port. */
  readonly name: string;
  readonly protocol: Protocol;
  /** 1–65535; slice ports without a number are dropped by the parser, as in kube-proxy. */
  readonly port: number;
}

export interface SliceEndpoint {
  /** The first address, canonical. The API says to use only this one. */
  readonly address: string;
  /** Conditions with their nil meanings applied: ready and serving true, terminating false. */
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly nodeName?: string;
  readonly zone?: string;
  readonly hintedZones?: readonly string[];
  readonly hintedNodes?: readonly string[];
}

export interface EndpointSlice {
  readonly kind: "EndpointSlice";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** From label kubernetes.io/service-name; slices without it are not stored. */
  readonly serviceName: string;
  readonly addressType: IpFamily;
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
  /** From annotation endpoints.kubernetes.io/last-change-trigger-time, ms since 1970. */
  readonly lastChangeTriggerMs?: number;
}
