// One Service port in one family → what proxy workers are told of it, and which of its entry points
// the kernel brings to them. Pure.

import type { IpFamily, Service, ServicePort } from "../../lib/kube/api/service.ts";
import type { Problem } from "../../lib/kube/store.ts";
import type { Endpoint } from "../model/endpoint.ts";
import type {
  Balancing,
  ConnectionLimits,
  FrontendSide,
  GroupKey,
  PortKind,
  ProxyEndpoint,
  ProxyFrontend,
  ProxyGroup,
  ProxyPort,
} from "../model/proxy-plan.ts";
import type { Lane } from "./lane.ts";
import { renameGroups } from "./route-groups.ts";
import type { UdpShare } from "./udp-shares.ts";
import type { UsableEndpoints } from "./usable-endpoints.ts";

/** The port of a Service that routes lead to. */
export type RoutedBackend = Pick<UdpShare, "port" | "slices">;

/** What the routes and labels of the cluster make of one port. */
export interface PortLane {
  readonly lane: Lane;
  /** Groups under the names of Service ports, `namespace/name:PORT`. */
  readonly routes?: PortKind;
  /** Whom the routes lead to; where lanes have a gate. */
  readonly backends?: readonly RoutedBackend[];
  /** Whom a UDPRoute shares the port out to; an empty list refuses, none is no route. */
  readonly udpShares?: readonly UdpShare[];
  /** Some route leads here: its endpoints are wanted, whatever its own lane. */
  readonly isBackend: boolean;
  /** Its endpoints are spoken to in HTTP/2. */
  readonly speaksHttp2: boolean;
}

export const KERNEL_LANE: PortLane = { lane: "kernel", isBackend: false, speaksHttp2: false };

/** Where clients reach a port. */
export interface EntryPoint {
  /** A VIP, or undefined for the NodePort. */
  readonly address?: string;
  readonly port: number;
  readonly kind: "internal" | "external";
}

const CONNECTION_LIMITS: ConnectionLimits = {
  maxConnections: 16_384,
  maxConnectionsPerClient: 4_096,
  connectTimeoutMs: 5_000,
  idleTimeoutMs: 3_600_000,
};

const PROXY_PROTOCOL_ANNOTATION = "innermesh.io/proxy-protocol";
const PROXY_PROTOCOL_VERSION = "v2";
const BALANCING_ANNOTATION = "innermesh.io/balancing";
const ALGORITHMS: readonly Balancing["algorithm"][] = [
  "peak-ewma",
  "least-request",
  "round-robin",
  "random",
  "ring-hash",
  "maglev",
];

/** Whose address ClusterIPs hide from endpoints. */
export type Masquerade = "nobody" | "outsiders" | "all";

interface Members {
  readonly endpoints: readonly Endpoint[];
  readonly preferZone?: string;
}

/** A port in a proxy lane, and its groups. */
export class ProxyPortPlan {
  readonly #service: Service;
  readonly #port: ServicePort;
  readonly #family: IpFamily;
  readonly #usable: UsableEndpoints;
  readonly #lane: PortLane;
  readonly #masquerade: Masquerade;
  readonly groups = new Map<GroupKey, ProxyGroup>();

  constructor(
    service: Service,
    port: ServicePort,
    facts: {
      readonly family: IpFamily;
      readonly usable: UsableEndpoints;
      readonly lane: PortLane;
      readonly masquerade: Masquerade;
    },
  ) {
    this.#service = service;
    this.#port = port;
    this.#family = facts.family;
    this.#usable = facts.usable;
    this.#lane = facts.lane;
    this.#masquerade = facts.masquerade;
    if (facts.lane.isBackend) this.#group("cluster");
  }

  get key(): string {
    return portKey(
      `${this.#service.namespace}/${this.#service.name}`,
      this.#port.port,
      this.#family,
    );
  }

  /**
   * How an entry point is served; undefined when the kernel serves it: nobody answers, which it
   * says to the first packet, or this node has no endpoint for policy Local.
   */
  frontend(entry: EntryPoint): ProxyFrontend | undefined {
    const isLocal = this.#policyOf(entry) === "Local" && this.#usable.anywhere;
    const routed = this.#lane.routes !== undefined;
    const endpoints = isLocal ? this.#usable.local : this.#usable.cluster;
    if (endpoints.length === 0 && !(routed && !isLocal)) return undefined;
    if (entry.kind === "internal") {
      const group = this.#group(isLocal ? "local" : "cluster");
      return {
        port: this.key,
        inside: { group, source: this.#masquerade === "all" ? "node" : "client" },
        outside: { group, source: this.#masquerade === "nobody" ? "client-always" : "node" },
      };
    }
    const cluster = this.#group("cluster");
    const outside: FrontendSide = isLocal
      ? { group: this.#group("local"), source: "client" }
      : { group: cluster, source: "node" };
    // From inside, policy Local means every endpoint, and pods keep their address, as with DNAT.
    const inside: FrontendSide = { group: cluster, source: isLocal ? "client" : "node" };
    return { port: this.key, inside, outside };
  }

  port(): ProxyPort {
    return {
      service: `${this.#service.namespace}/${this.#service.name}`,
      port: this.#port.port,
      kind: this.#kind(),
      limits: CONNECTION_LIMITS,
    };
  }

  #policyOf({ kind }: EntryPoint): "Cluster" | "Local" {
    const { internalTrafficPolicy, externalTrafficPolicy } = this.#service;
    return kind === "internal" ? internalTrafficPolicy : externalTrafficPolicy;
  }

  #kind(): PortKind {
    const { lane, routes } = this.#lane;
    if (routes !== undefined) {
      return renameGroups(routes, (name) => clusterGroup(name, this.#family));
    }
    return lane === "l7" ? { kind: "http" } : { kind: "tcp", backends: [] };
  }

  #group(role: "cluster" | "local"): GroupKey {
    const { namespace, name, affinitySeconds, annotations } = this.#service;
    const of = { service: `${namespace}/${name}`, port: this.#port.port };
    const ref = `${of.service}:${of.port}`;
    const key =
      role === "cluster" ? clusterGroup(ref, this.#family) : localGroup(ref, this.#family);
    if (this.groups.has(key)) return key;
    // Workers share no tables: a client's endpoint must be one that each of them computes.
    const algorithm = affinitySeconds === undefined ? algorithmOf(annotations) : "ring-hash";
    const { endpoints, preferZone }: Members =
      role === "cluster" ? this.#clusterMembers(algorithm) : { endpoints: this.#usable.local };
    this.groups.set(key, {
      ...of,
      endpoints: endpoints.map(toProxyEndpoint),
      balancing: {
        algorithm,
        ...(affinitySeconds === undefined ? {} : { affinitySeconds }),
        ...(preferZone === undefined ? {} : { preferZone }),
      },
      protocol: this.#lane.speaksHttp2 ? "http2" : "http1",
      proxyProtocol: annotations[PROXY_PROTOCOL_ANNOTATION] === PROXY_PROTOCOL_VERSION,
    });
    return key;
  }

  /**
   * Zone hints are kept while the zone has room: unlike the kernel, workers see when it has not.
   * Choice by a hash knows no room, and stays with those that were hinted.
   */
  #clusterMembers(algorithm: Balancing["algorithm"]): Members {
    const { cluster, reach } = this.#usable;
    const byHash = algorithm === "ring-hash" || algorithm === "maglev";
    if (reach.kind !== "zone" || byHash) return { endpoints: cluster };
    const { zone: preferZone, beyond } = reach;
    // Near is who was hinted to be, wherever it runs.
    const near = cluster.map((endpoint) => ({ ...endpoint, zone: preferZone }));
    const far = beyond.map(({ zone, ...endpoint }) =>
      zone === undefined || zone === preferZone ? endpoint : { ...endpoint, zone },
    );
    return { endpoints: [...near, ...far], preferZone };
  }
}

/** What stands in annotations of ours and means nothing; such a Service is served as without it. */
export function annotationProblems({ namespace, name, annotations }: Service): Problem[] {
  const known = [
    [BALANCING_ANNOTATION, ALGORITHMS],
    [PROXY_PROTOCOL_ANNOTATION, [PROXY_PROTOCOL_VERSION]],
  ] as const;
  return known.flatMap(([annotation, values]) => {
    const value = annotations[annotation];
    if (value === undefined || values.some((one) => one === value)) return [];
    const field = `metadata.annotations["${annotation}"]`;
    const message = `"${value}" means nothing; use ${values.join(", ")}`;
    return [{ object: `Service ${namespace}/${name}`, field, message }];
  });
}

function algorithmOf(annotations: Service["annotations"]): Balancing["algorithm"] {
  return ALGORITHMS.find((one) => one === annotations[BALANCING_ANNOTATION]) ?? "peak-ewma";
}

export function portKey(service: string, port: number, family: IpFamily): string {
  return `${service}:${port} ${family}`;
}

/** @param ref as routes name it: `namespace/name:PORT` */
function clusterGroup(ref: string, family: IpFamily): GroupKey {
  return `${ref} ${family}`;
}

function localGroup(ref: string, family: IpFamily): GroupKey {
  return `${ref} ${family} local`;
}

function toProxyEndpoint({ address, port, local, zone }: Endpoint): ProxyEndpoint {
  return { address, port, local, ...(zone === undefined ? {} : { zone }) };
}
