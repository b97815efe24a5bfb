// What addresses mean in the cluster at the moment; looked up anew only when objects changed.

import type { Pod } from "../../lib/kube/api/pod.ts";
import type { Kind, KubeStore } from "../../lib/kube/store.ts";
import { workloadAddresses } from "../plan/workload-addresses.ts";

type AddressStore = Pick<KubeStore, "pods" | "nodes" | "services" | "revisionOf">;

export class AddressBook {
  readonly #store: AddressStore;
  readonly #revisions = new Map<Kind, number>();
  #pods: ReadonlyMap<string, Pod> = new Map();
  #nodes: ReadonlyMap<string, string> = new Map();
  #services: ReadonlySet<string> = new Set();

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

  /** All that Services are called by. */
  get services(): ReadonlySet<string> {
    if (this.#isStale("Service")) {
      const services = this.#store.services.values();
      this.#services = new Set(
        services.flatMap(({ clusterIPs, externalIPs, loadBalancerVips }) => [
          ...clusterIPs,
          ...externalIPs,
          ...loadBalancerVips,
        ]),
      );
    }
    return this.#services;
  }

  #isStale(kind: Kind): boolean {
    const revision = this.#store.revisionOf(kind);
    if (this.#revisions.get(kind) === revision) return false;
    this.#revisions.set(kind, revision);
    return true;
  }
}
