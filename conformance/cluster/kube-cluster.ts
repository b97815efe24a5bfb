// The live cluster: Services, slices and labels in one namespace, through the client library.

import {
  CoreV1Api,
  DiscoveryV1Api,
  type KubeConfig,
  PatchStrategy,
  setHeaderOptions,
} from "@kubernetes/client-node";

import type { Clock } from "../../lib/clock/clock.ts";
import { parseAddress } from "../../lib/ip/address.ts";
import type { Agent } from "../agent-identity.ts";
import { apiCall, apiCallOrNothing } from "./api-call.ts";
import type { EndpointSlice, Service } from "./api-objects.ts";
import {
  type Cluster,
  type ClusterNode,
  type LoadBalancerIngress,
  type MergePatch,
  RefusedError,
} from "./cluster.ts";

/** On everything a run creates; its value is the run's id. */
export const runLabel = "conformance.innermesh.io/run";

const mergePatch = setHeaderOptions("Content-Type", PatchStrategy.MergePatch);

export class KubeCluster implements Cluster {
  readonly namespace: string;
  readonly #run: string;
  readonly #core: CoreV1Api;
  readonly #discovery: DiscoveryV1Api;
  readonly #clock: Clock;

  /** @param run this run's id, a label value */
  constructor(config: KubeConfig, namespace: string, run: string, clock: Clock) {
    this.namespace = namespace;
    this.#run = run;
    this.#core = config.makeApiClient(CoreV1Api);
    this.#discovery = config.makeApiClient(DiscoveryV1Api);
    this.#clock = clock;
  }

  async nodes(): Promise<readonly ClusterNode[]> {
    const { items } = await this.#call("list nodes", this.#core.listNode());
    const nodes = items.flatMap(({ metadata, spec, status }): ClusterNode[] => {
      const name = metadata?.name ?? "";
      const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
      if (!ready || spec?.unschedulable === true) return [];
      const internal = (status?.addresses ?? []).filter(({ type }) => type === "InternalIP");
      const addresses = internal.map(({ address }) => parseAddress(address));
      const zone = metadata?.labels?.["topology.kubernetes.io/zone"];
      return [
        {
          name,
          addresses: addresses.filter((address) => address !== undefined),
          ...(zone !== undefined && { zone }),
        },
      ];
    });
    return nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  async createService(service: Service): Promise<Service> {
    const body = { ...service, metadata: this.#labelled(service.metadata) };
    const name = service.metadata?.name ?? "";
    const { namespace } = this;
    const call = this.#core.createNamespacedService({ namespace, body });
    return this.#call(`create Service "${name}"`, call);
  }

  async patchService(name: string, patch: MergePatch): Promise<Service> {
    const { namespace } = this;
    const call = this.#core.patchNamespacedService({ namespace, name, body: patch }, mergePatch);
    return this.#call(`patch Service "${name}"`, call);
  }

  async setIngress(name: string, ingress: readonly LoadBalancerIngress[]): Promise<void> {
    const { namespace } = this;
    const body = { status: { loadBalancer: { ingress } } };
    const call = this.#core.patchNamespacedServiceStatus({ namespace, name, body }, mergePatch);
    await this.#call(`patch the status of Service "${name}"`, call);
  }

  async deleteService(name: string): Promise<void> {
    const { namespace } = this;
    const call = this.#core.deleteNamespacedService({ namespace, name });
    await apiCallOrNothing(this.#clock, `delete Service "${name}"`, call);
  }

  async putSlice(slice: EndpointSlice): Promise<EndpointSlice> {
    const { namespace } = this;
    const name = slice.metadata?.name ?? "";
    const body = { ...slice, metadata: this.#labelled(slice.metadata) };
    try {
      const call = this.#discovery.createNamespacedEndpointSlice({ namespace, body });
      return await this.#call(`create EndpointSlice "${name}"`, call);
    } catch (error) {
      if (!(error instanceof RefusedError) || error.status !== 409) throw error;
    }
    const { ports, endpoints } = slice;
    const labels = slice.metadata?.labels;
    const patch = { namespace, name, body: { metadata: { labels }, ports, endpoints } };
    const call = this.#discovery.patchNamespacedEndpointSlice(patch, mergePatch);
    return this.#call(`replace EndpointSlice "${name}"`, call);
  }

  async deleteSlice(name: string): Promise<void> {
    const { namespace } = this;
    const call = this.#discovery.deleteNamespacedEndpointSlice({ namespace, name });
    await apiCallOrNothing(this.#clock, `delete EndpointSlice "${name}"`, call);
  }

  async labelPod(name: string, labels: Readonly<Record<string, string | null>>): Promise<void> {
    const { namespace } = this;
    const patch = { namespace, name, body: { metadata: { labels } } };
    await this.#call(`label Pod "${name}"`, this.#core.patchNamespacedPod(patch, mergePatch));
  }

  /** Writes a Pod's readiness, where no kubelet does. */
  async writeReadiness({ name }: Agent, ready: boolean): Promise<void> {
    const { namespace } = this;
    const status = ready ? "True" : "False";
    const conditions = ["ContainersReady", "Ready"].map((type) => ({ type, status }));
    const body = { status: { conditions } };
    const strategic = setHeaderOptions("Content-Type", PatchStrategy.StrategicMergePatch);
    const call = this.#core.patchNamespacedPodStatus({ namespace, name, body }, strategic);
    await this.#call(`patch the status of Pod "${name}"`, call);
  }

  /** Deletes every Service and slice of any run in the namespace: also after a crash. */
  async sweep(): Promise<void> {
    const { namespace } = this;
    const mine = { namespace, labelSelector: runLabel };
    const services = this.#core.listNamespacedService(mine);
    const { items } = await this.#call("list Services", services);
    for (const { metadata } of items) await this.deleteService(metadata?.name ?? "");
    const slices = this.#discovery.deleteCollectionNamespacedEndpointSlice(mine);
    await this.#call("delete EndpointSlices", slices);
  }

  #labelled<M extends { readonly labels?: Readonly<Record<string, string>> }>(
    metadata: M | undefined,
  ) {
    return { ...metadata, labels: { ...metadata?.labels, [runLabel]: this.#run } };
  }

  #call<T>(what: string, call: Promise<T>): Promise<T> {
    return apiCall(this.#clock, what, call);
  }
}
