// One Service port in one family → what proxy workers are told of it, and which of its entry points
// the kernel brings to them. Pure.

import type { IpFamily, Service, ServicePort } from "../../lib/kube/api/service.ts";
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
import type { UsableEndpoints } from "./usable-endpoints.ts";

/** What the routes and labels of the cluster make of one port. */
export interface PortLane {
  readonly lane: Lane;
  /** Groups under the names of Service ports, `namespace/name:PORT`. */
  readonly routes?: PortKind;
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

export const CONNECTION_LIMITS: ConnectionLimits = {
  maxConnections: 16_384,
  maxConnectionsPerClient: 4_096,
  connectTimeoutMs: 5_000,
  idleTimeoutMs: 3_600_000,
};

const PROXY_PROTOCOL_ANNOTATION = "innermesh.io/proxy-protocol";
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
   * How an entry point is served; undefined when the kernel serves it: nobody answers, which it says
   * to the first packet, or this node has no endpoint for policy Local.
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
    const endpoints = role === "cluster" ? this.#usable.cluster : this.#usable.local;
    const wanted = ALGORITHMS.find((one) => one === annotations[BALANCING_ANNOTATION]);
    this.groups.set(key, {
      ...of,
      endpoints: endpoints.map(toProxyEndpoint),
      balancing: {
        algorithm: wanted ?? "peak-ewma",
        ...(affinitySeconds === undefined ? {} : { affinitySeconds }),
      },
      protocol: this.#lane.speaksHttp2 ? "http2" : "http1",
      proxyProtocol: annotations[PROXY_PROTOCOL_ANNOTATION] === "v2",
    });
    return key;
  }
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
