// What addresses mean in the cluster at the moment; looked up anew only when objects changed.

import { type Address, familyOf } from "../../lib/ip/address.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { Service } from "../../lib/kube/api/service.ts";
import type { Kind, KubeStore } from "../../lib/kube/store.ts";
import { workloadAddresses } from "../plan/workload-addresses.ts";

type AddressStore = Pick<KubeStore, "pods" | "nodes" | "services" | "slicesOf" | "revisionOf">;

/** A Service as somebody calls it. */
export interface CalledService {
  /** `namespace/name` */
  readonly name: string;
  /** Whether or not they are ready. */
  readonly endpoints: readonly { readonly address: string; readonly port: number }[];
}

export class AddressBook {
  readonly #store: AddressStore;
  readonly #revisions = new Map<Kind, number>();
  #pods: ReadonlyMap<string, Pod> = new Map();
  #nodes: ReadonlyMap<string, string> = new Map();
  #services: ReadonlyMap<string, Service> = new Map();

  constructor(store: AddressStore) {
    this.#store = store;
  }

  /** By addresses of their own. */
  get pods(): ReadonlyMap<string, Pod> {
    if (this.#isStale("Pod")) this.#pods = workloadAddresses(this.#store.pods.values()).owned;
    return this.#pods;
  }

  /** Names, by address. */
  get nodes(): ReadonlyMap<string, string> {
    if (this.#isStale("Node")) {
      const nodes = this.#store.nodes.values();
      const named = nodes.flatMap(({ name, addresses }) =>
        addresses.map(({ address }) => [address, name] as const),
      );
      this.#nodes = new Map(named);
    }
    return this.#nodes;
  }

  /** By all addresses that they are called by. */
  get services(): ReadonlyMap<string, Service> {
    if (this.#isStale("Service")) {
      const services = this.#store.services.values();
      this.#services = new Map(
        services.flatMap((service) => {
          const { clusterIPs, externalIPs, loadBalancerVips } = service;
          const all = [...clusterIPs, ...externalIPs, ...loadBalancerVips];
          return all.map((address) => [address, service] as const);
        }),
      );
    }
    return this.#services;
  }

  /** The Service that has a TCP port at an address, or that has it on nodes. */
  calledAt(address: Address, port: number): CalledService | undefined {
    const service = this.services.get(address) ?? this.#atNodePort(address, port);
    const asked = service?.ports.find(
      (one) => one.protocol === "TCP" && (one.port === port || one.nodePort === port),
    );
    if (service === undefined || asked === undefined) return undefined;
    const name = `${service.namespace}/${service.name}`;
    const endpoints = [...this.#store.slicesOf(name).values()].flatMap((slice) => {
      const found = slice.ports.find((one) => one.name === asked.name && one.protocol === "TCP");
      if (found === undefined) return [];
      return slice.endpoints.map((one) => ({ address: one.address, port: found.port }));
    });
    const family = familyOf(address);
    return { name, endpoints: endpoints.filter((one) => familyOf(one.address) === family) };
  }

  /** A Service's first cluster address. @param service `namespace/name` */
  addressOf(service: string, family: "ip" | "ip6"): string | undefined {
    const { clusterIPs = [] } = this.#store.services.get(service) ?? {};
    return clusterIPs.find((address) => familyOf(address) === family);
  }

  #atNodePort(address: Address, port: number): Service | undefined {
    if (!this.nodes.has(address)) return undefined;
    const services = this.#store.services.values();
    return services.find(({ ports }) => ports.some(({ nodePort }) => nodePort === port));
  }

  #isStale(kind: Kind): boolean {
    const revision = this.#store.revisionOf(kind);
    if (this.#revisions.get(kind) === revision) return false;
    this.#revisions.set(kind, revision);
    return true;
  }
}
