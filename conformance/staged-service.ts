// One Service of one case: made through the API, its endpoints chosen by label (real slices from
// the real controller) or written by hand (when a case needs conditions or hints).

import type { AddressFamily } from "../lib/ip/address.ts";
import { type Agent, addressOf, agentPorts } from "./agent-identity.ts";
import type { Target } from "./claim.ts";
import type {
  Endpoint,
  EndpointConditions,
  EndpointHints,
  EndpointSlice,
  Service,
  ServicePort,
  ServiceSpec,
} from "./cluster/api-objects.ts";
import type { Cluster, LoadBalancerIngress, MergePatch } from "./cluster/cluster.ts";

/** Ports of a staged Service; none equals its target port, so that translation shows. */
export const servicePorts = { tcp: 7000, udp: 7000, http: 7001 } as const;
export type PortName = keyof typeof servicePorts;

/** A port that no staged Service has. */
export const unusedPort = 7999;

/** Slices made by hand say so; the endpoint slice controller leaves them alone. */
export const managedBy = "conformance.innermesh.io";

export interface ServiceOptions {
  /** Pods to select, possibly none; `by-hand`: no selector, slices come from `putEndpoints`. */
  readonly endpoints: readonly Agent[] | "by-hand";
  /** Laid over the default spec: ClusterIP, one family, ports tcp, udp and http. */
  readonly spec?: Partial<ServiceSpec>;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface HandEndpoint {
  readonly agent: Agent;
  /** As the API has them; missing ones have their defaults. */
  readonly conditions?: EndpointConditions;
  readonly hints?: EndpointHints;
}

/** What a Service is made in. */
export interface ServiceStage {
  readonly cluster: Cluster;
  readonly family: AddressFamily;
  readonly name: string;
}

/** Creates a Service. */
export async function createStagedService(
  stage: ServiceStage,
  options: ServiceOptions,
): Promise<StagedService> {
  const byHand = options.endpoints === "by-hand";
  const object = await stage.cluster.createService({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: stage.name, labels: { ...options.labels } },
    spec: {
      type: "ClusterIP",
      ipFamilyPolicy: "SingleStack",
      ipFamilies: [apiFamily(stage.family)],
      ports: defaultPorts(),
      ...(!byHand && { selector: { [selectorKey(stage.name)]: "yes" } }),
      ...options.spec,
    },
  });
  const service = new StagedService(stage, object);
  if (options.endpoints !== "by-hand") await service.select(options.endpoints);
  return service;
}

/** A Service that a case made. Its stage removes it, with slices and labels. */
export class StagedService {
  readonly name: string;
  readonly #stage: ServiceStage;
  #object: Service;
  #selected: readonly Agent[] = [];
  readonly #slices = new Map<string, EndpointSlice>();

  constructor(stage: ServiceStage, object: Service) {
    this.name = stage.name;
    this.#stage = stage;
    this.#object = object;
  }

  /** As the API server has it since the last call. */
  get object(): Service {
    return this.#object;
  }

  /** Its ClusterIP in a family. @default the stage's family */
  vip(family: AddressFamily = this.#stage.family): string {
    const { clusterIPs = [] } = this.#object.spec ?? {};
    const found = clusterIPs.find((address) => address.includes(":") === (family === "ip6"));
    return found ?? "";
  }

  /** Its ClusterIP and port. */
  at(port: PortName): Target {
    return this.on(this.vip(), port);
  }

  /** Its port on another of its addresses: an external IP, a load balancer's VIP. */
  on(address: string, port: PortName): Target {
    return { protocol: port, address, port: servicePorts[port] };
  }

  /** Its NodePort on a node's address. */
  nodePort(address: string, port: PortName): Target {
    const found = this.#object.spec?.ports?.find(({ name }) => name === port);
    return { protocol: port, address, port: found?.nodePort ?? 0 };
  }

  /** Makes exactly these Pods its endpoints, by label. */
  async select(agents: readonly Agent[]): Promise<void> {
    const key = selectorKey(this.name);
    const { cluster } = this.#stage;
    const gone = this.#selected.filter((agent) => !agents.includes(agent));
    const come = agents.filter((agent) => !this.#selected.includes(agent));
    this.#selected = [...this.#selected, ...come];
    await Promise.all([
      ...gone.map((agent) => cluster.labelPod(agent.name, { [key]: null })),
      ...come.map((agent) => cluster.labelPod(agent.name, { [key]: "yes" })),
    ]);
    this.#selected = agents;
  }

  /**
   * Writes exactly these endpoints.
   * @param labels of the slices, beside those that make them the Service's; they only add up
   * @returns what the API server kept of the endpoints
   */
  async putEndpoints(
    endpoints: readonly HandEndpoint[],
    labels: Readonly<Record<string, string>> = {},
  ): Promise<readonly Endpoint[]> {
    const kept: Endpoint[] = [];
    for (const place of ["pod", "host"] as const) {
      const name = `${this.name}-${place}`;
      const here = endpoints.filter(({ agent }) => agent.place === place);
      if (here.length === 0 && !this.#slices.has(name)) continue;
      const slice = handSlice(this.name, name, this.#stage.family, here);
      Object.assign(slice.metadata?.labels ?? {}, labels);
      this.#slices.set(name, slice);
      const answer = await this.#stage.cluster.putSlice(slice);
      kept.push(...(answer.endpoints ?? []));
    }
    return kept;
  }

  /** Changes it by a merge patch. */
  async patch(patch: MergePatch): Promise<void> {
    this.#object = await this.#stage.cluster.patchService(this.name, patch);
  }

  /** Writes its load balancer status. */
  async setIngress(ingress: readonly LoadBalancerIngress[]): Promise<void> {
    await this.#stage.cluster.setIngress(this.name, ingress);
  }

  /** Deletes the Service; its slices by hand stay until `clear`. */
  async remove(): Promise<void> {
    await this.#stage.cluster.deleteService(this.name);
  }

  /** Removes all that it left in the cluster. */
  async clear(): Promise<void> {
    const { cluster } = this.#stage;
    await this.remove();
    for (const name of this.#slices.keys()) await cluster.deleteSlice(name);
    await this.select([]);
  }
}

/** What a family is called in a Service's `ipFamilies`. */
export function apiFamily(family: AddressFamily): "IPv4" | "IPv6" {
  return family === "ip" ? "IPv4" : "IPv6";
}

function selectorKey(service: string): string {
  return `conformance.innermesh.io/${service}`;
}

function defaultPorts(): ServicePort[] {
  const { tcp, udp, http } = agentPorts.pod;
  return [
    { name: "tcp", protocol: "TCP", port: servicePorts.tcp, targetPort: tcp[0] ?? 0 },
    { name: "udp", protocol: "UDP", port: servicePorts.udp, targetPort: udp[0] ?? 0 },
    { name: "http", protocol: "TCP", port: servicePorts.http, targetPort: http[0] ?? 0 },
  ];
}

function handSlice(
  service: string,
  name: string,
  family: AddressFamily,
  endpoints: readonly HandEndpoint[],
): EndpointSlice {
  const [first] = endpoints;
  const ports = first?.agent.ports ?? agentPorts.pod;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name,
      labels: {
        "kubernetes.io/service-name": service,
        "endpointslice.kubernetes.io/managed-by": managedBy,
      },
    },
    addressType: apiFamily(family),
    ports: [
      { name: "tcp", protocol: "TCP", port: ports.tcp[0] ?? 0 },
      { name: "udp", protocol: "UDP", port: ports.udp[0] ?? 0 },
      { name: "http", protocol: "TCP", port: ports.http[0] ?? 0 },
    ],
    endpoints: endpoints.map(({ agent, conditions, hints }) => ({
      addresses: [addressOf(agent, family) ?? ""],
      nodeName: agent.node,
      ...(conditions !== undefined && { conditions }),
      ...(hints !== undefined && { hints }),
    })),
  };
}
