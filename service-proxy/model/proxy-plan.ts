// What proxy workers work from: values that travel as JSON from the control process. Three tables:
// frontends (where connections arrive), ports (what is done with them), groups (whom they go to).

import type { RouteTable } from "./route-table.ts";

/** Name of an endpoint group, `default/web:http/tcp cluster IPv4`. */
export type GroupKey = string;

/** Name of a Service port in one family, `default/web:http/tcp IPv4`. */
export type PortKey = string;

/** Where connections arrive: `10.96.0.10 80`, or `IPv4 30080` for a NodePort on any address. */
export type FrontendKey = string;

/** What depends on the address that was dialled. */
export interface ProxyFrontend {
  readonly port: PortKey;
  /** For clients on this node: its pods, and its own processes. */
  readonly inside: FrontendSide;
  /** For everybody else. */
  readonly outside: FrontendSide;
}

/** The address that endpoints see. */
export type SourceChoice =
  | "node"
  /** The client's own, where replies come back through this node; else the node's. */
  | "client"
  /** The client's own; that replies come back is the user's care (no local detector). */
  | "client-always";

export interface FrontendSide {
  /** Whom a plain connection goes to, and the default of HTTP without a route. */
  readonly group: GroupKey;
  readonly source: SourceChoice;
}

/** What depends on the Service port: how its bytes are read. */
export interface ProxyPort {
  /** `namespace/name` of the Service. */
  readonly service: string;
  /** Number of the Service port. */
  readonly port: number;
  readonly kind: PortKind;
  readonly limits: ConnectionLimits;
}

export type PortKind =
  /** Bytes, unread. Weighted groups stand here for a TCPRoute; one group when empty. */
  | { readonly kind: "tcp"; readonly backends: readonly WeightedGroup[] }
  /** TLS passed through, routed by the server name of its ClientHello (TLSRoute). */
  | { readonly kind: "tls"; readonly routes: readonly ServerNameRoute[] }
  /** HTTP/1.1, or HTTP/2 by prior knowledge; without a table all goes to the default group. */
  | { readonly kind: "http"; readonly routes?: RouteTable };

export interface WeightedGroup {
  /** Undefined where the reference leads nowhere: that share is refused. */
  readonly group?: GroupKey;
  readonly weight: number;
}

export interface ServerNameRoute {
  /** Lower-case; `*.example.com` matches one or more labels; `*` everything. */
  readonly hostname: string;
  readonly backends: readonly WeightedGroup[];
}

export interface ConnectionLimits {
  /** At one time, on one worker; a connection above is reset. */
  readonly maxConnections: number;
  /** The same from one client address. */
  readonly maxConnectionsPerClient: number;
  readonly connectTimeoutMs: number;
  /** Neither side sent anything for so long. */
  readonly idleTimeoutMs: number;
}

/** Whom traffic goes to. */
export interface ProxyGroup {
  /** `namespace/name` of the Service whose endpoints these are. */
  readonly service: string;
  readonly port: number;
  readonly endpoints: readonly ProxyEndpoint[];
  readonly balancing: Balancing;
  /** How HTTP is spoken to them. */
  readonly protocol: "http1" | "http2";
  /** Sends PROXY protocol v2 first. */
  readonly proxyProtocol: boolean;
}

export interface ProxyEndpoint {
  readonly address: string;
  readonly port: number;
  /** On this node: replies to any client address come back this way. */
  readonly local: boolean;
  readonly zone?: string;
}

/** How one endpoint is chosen; undefined parts take the defaults. */
export interface Balancing {
  readonly algorithm:
    | "peak-ewma"
    | "least-request"
    | "round-robin"
    | "random"
    | "ring-hash"
    | "maglev";
  /** ClientIP affinity: a client keeps its endpoint while it comes back within this time. */
  readonly affinitySeconds?: number;
  /** Endpoints of this zone are taken while they have room and enough of them are in service. */
  readonly preferZone?: string;
}

/** What the node is, as far as workers need to know. */
export interface ProxyNode {
  readonly nodeName: string;
  readonly zone?: string;
  /** Addresses of this node: a client with one of them is a process of the node itself. */
  readonly hostAddresses: readonly string[];
}

/** A pod of this node, as a client. */
export interface ProxyClient {
  readonly namespace: string;
  readonly pod: string;
  readonly serviceAccount: string;
}

/** One message to a worker: what is new or differs, and what is gone. Applied as one. */
export interface ProxyPlanDelta {
  readonly node?: ProxyNode;
  readonly frontends: readonly (readonly [FrontendKey, ProxyFrontend | null])[];
  readonly ports: readonly (readonly [PortKey, ProxyPort | null])[];
  readonly groups: readonly (readonly [GroupKey, ProxyGroup | null])[];
  /** By address. */
  readonly clients: readonly (readonly [string, ProxyClient | null])[];
}
