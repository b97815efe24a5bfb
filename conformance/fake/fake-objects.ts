// A namespace in memory: Services get addresses and ports, Pods have labels and readiness, and
// slices follow selectors at once. What a real API server and its slice controller do, no more.

import assert from "node:assert/strict";
import type { Agent } from "../agent-identity.ts";
import type { EndpointSlice, Service, ServiceSpec } from "../cluster/api-objects.ts";
import type { Cluster, ClusterNode, LoadBalancerIngress, MergePatch } from "../cluster/cluster.ts";

interface FakePod {
  readonly agent: Agent;
  readonly labels: Map<string, string>;
  ready: boolean;
}

export interface FakeService {
  readonly object: Service;
  readonly ingress: readonly LoadBalancerIngress[];
}

export class FakeObjects implements Cluster {
  readonly #nodes: readonly ClusterNode[];
  readonly #pods = new Map<string, FakePod>();
  readonly #services = new Map<string, FakeService>();
  readonly #slices = new Map<string, EndpointSlice>();
  readonly #families: readonly ("IPv4" | "IPv6")[];
  #allocated = 0;

  constructor(
    nodes: readonly ClusterNode[],
    agents: readonly Agent[],
    families: readonly ("IPv4" | "IPv6")[],
  ) {
    this.#nodes = nodes;
    this.#families = families;
    for (const agent of agents) {
      if (agent.place === "pod") {
        this.#pods.set(agent.name, { agent, labels: new Map(), ready: true });
      }
    }
  }

  /** Names of everything that a run made; empty when it cleaned up. */
  get leftovers(): readonly string[] {
    const labelled = [...this.#pods.values()].filter((pod) => pod.labels.size > 0 || !pod.ready);
    return [
      ...this.#services.keys(),
      ...this.#slices.keys(),
      ...labelled.map((pod) => pod.agent.name),
    ];
  }

  get services(): readonly FakeService[] {
    return [...this.#services.values()];
  }

  /** All slices of a Service, those by selector included. */
  slicesOf({ metadata, spec }: Service): readonly EndpointSlice[] {
    const name = metadata?.name ?? "";
    const byHand = [...this.#slices.values()].filter(
      (slice) => slice.metadata?.labels?.["kubernetes.io/service-name"] === name,
    );
    const [selector] = Object.keys(spec?.selector ?? {});
    if (selector === undefined) return byHand;
    const pods = [...this.#pods.values()].filter((pod) => pod.labels.has(selector));
    return [...byHand, ...(spec?.ipFamilies ?? this.#families).map((f) => slice(f, pods, spec))];
  }

  setReady(agent: Agent, ready: boolean): void {
    const pod = this.#pods.get(agent.name);
    assert(pod !== undefined, `agent "${agent.name}" is no pod`);
    pod.ready = ready;
  }

  async nodes(): Promise<readonly ClusterNode[]> {
    return this.#nodes;
  }

  async createService(service: Service): Promise<Service> {
    const name = service.metadata?.name ?? "";
    assert(!this.#services.has(name), `Service "${name}" exists`);
    return this.#store(name, service, []);
  }

  async patchService(name: string, patch: MergePatch): Promise<Service> {
    const { object, ingress } = this.#service(name);
    return this.#store(name, mergeService(object, patch), ingress);
  }

  async setIngress(name: string, ingress: readonly LoadBalancerIngress[]): Promise<void> {
    this.#services.set(name, { object: this.#service(name).object, ingress });
  }

  async deleteService(name: string): Promise<void> {
    this.#services.delete(name);
  }

  async putSlice(object: EndpointSlice): Promise<EndpointSlice> {
    this.#slices.set(object.metadata?.name ?? "", object);
    return object;
  }

  async deleteSlice(name: string): Promise<void> {
    this.#slices.delete(name);
  }

  async labelPod(name: string, labels: Readonly<Record<string, string | null>>): Promise<void> {
    const pod = this.#pods.get(name);
    assert(pod !== undefined, `there is no Pod "${name}"`);
    for (const [key, value] of Object.entries(labels)) {
      if (value === null) pod.labels.delete(key);
      else pod.labels.set(key, value);
    }
  }

  #service(name: string): FakeService {
    const found = this.#services.get(name);
    assert(found !== undefined, `there is no Service "${name}"`);
    return found;
  }

  #store(name: string, object: Service, ingress: readonly LoadBalancerIngress[]): Service {
    const stored = { ...object, spec: this.#allocate(object.spec ?? {}) };
    this.#services.set(name, { object: stored, ingress });
    return stored;
  }

  #allocate(spec: ServiceSpec): ServiceSpec {
    if (spec.type === "ExternalName" || spec.clusterIP === "None") return spec;
    const families = spec.ipFamilies ?? this.#families.slice(0, 1);
    const exposed = spec.type === "NodePort" || spec.type === "LoadBalancer";
    const checked = spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
    return {
      ...spec,
      ipFamilies: [...families],
      clusterIPs: spec.clusterIPs ?? families.map((family) => this.#address(family)),
      ports: (spec.ports ?? []).map(({ nodePort, ...port }) =>
        exposed ? { ...port, nodePort: nodePort ?? 30_000 + ++this.#allocated } : port,
      ),
      ...(checked && {
        healthCheckNodePort: spec.healthCheckNodePort ?? 32_000 + ++this.#allocated,
      }),
    };
  }

  #address(family: string): string {
    this.#allocated += 1;
    return family === "IPv6" ? `fd96::${this.#allocated}` : `10.96.0.${this.#allocated}`;
  }
}

function slice(
  family: string,
  pods: readonly FakePod[],
  spec: ServiceSpec | undefined,
): EndpointSlice {
  const published = spec?.publishNotReadyAddresses === true;
  return {
    addressType: family,
    ports: (spec?.ports ?? []).map(({ name, protocol = "TCP", targetPort }) => ({
      ...(name !== undefined && { name }),
      protocol,
      port: Number(targetPort),
    })),
    endpoints: pods.map(({ agent, ready }) => ({
      addresses: agent.addresses.filter((a) => a.includes(":") === (family === "IPv6")),
      nodeName: agent.node,
      conditions: { ready: ready || published, serving: ready, terminating: false },
    })),
  };
}

/** RFC 7396 on the two parts that cases patch. */
function mergeService(object: Service, patch: MergePatch): Service {
  const { spec = {}, metadata = {} } = patch as {
    readonly spec?: Readonly<Record<string, unknown>>;
    readonly metadata?: { readonly labels?: Readonly<Record<string, string | null>> };
  };
  const labels = Object.entries({ ...object.metadata?.labels, ...metadata.labels });
  return {
    ...object,
    metadata: {
      ...object.metadata,
      labels: Object.fromEntries(labels.flatMap(([k, v]) => (v === null ? [] : [[k, v]]))),
    },
    spec: Object.fromEntries(
      Object.entries({ ...object.spec, ...spec }).filter(([, value]) => value !== null),
    ),
  };
}
