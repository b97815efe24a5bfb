// Whose an address is, among all pods of the cluster. Pure.

import type { Pod } from "../../lib/kube/api/pod.ts";
import type { PodChange } from "../evaluate/pod-ledger.ts";

export interface WorkloadAddresses {
  /** One live pod says that the address is its own. */
  readonly owned: ReadonlyMap<string, Pod>;
  /** Several say so: it belongs to none of them. */
  readonly contested: ReadonlyMap<string, readonly Pod[]>;
}

/**
 * Finds the pod behind each address. Pods of the host's network and those that are over have none:
 * the parser of pods saw to that.
 */
export function workloadAddresses(pods: Iterable<Pod>): WorkloadAddresses {
  const owned = new Map<string, Pod>();
  const contested = new Map<string, Pod[]>();
  for (const pod of pods) {
    for (const address of pod.addresses) {
      const others = contested.get(address);
      const other = owned.get(address);
      if (others !== undefined) others.push(pod);
      else if (other === undefined) owned.set(address, pod);
      else {
        owned.delete(address);
        contested.set(address, [other, pod]);
      }
    }
  }
  return { owned, contested };
}

/** The same, kept up change by change. */
export class AddressOwners implements WorkloadAddresses {
  readonly owned = new Map<string, Pod>();
  readonly contested = new Map<string, readonly Pod[]>();

  /** Takes over that a pod came, went, or is another object. */
  change({ before, after }: PodChange): void {
    for (const address of before?.addresses ?? []) {
      this.#set(
        address,
        this.claimantsOf(address).filter((pod) => pod !== before),
      );
    }
    if (after === undefined) return;
    for (const address of after.addresses) {
      this.#set(address, [...this.claimantsOf(address), after]);
    }
  }

  claimantsOf(address: string): readonly Pod[] {
    return claimantsOf(this, address);
  }

  #set(address: string, claimants: readonly Pod[]): void {
    const [owner, ...others] = claimants;
    if (owner !== undefined && others.length === 0) this.owned.set(address, owner);
    else this.owned.delete(address);
    if (others.length > 0) this.contested.set(address, claimants);
    else this.contested.delete(address);
  }
}

/** All pods that say that the address is theirs. */
export function claimantsOf(
  { owned, contested }: WorkloadAddresses,
  address: string,
): readonly Pod[] {
  const owner = owned.get(address);
  return owner === undefined ? (contested.get(address) ?? []) : [owner];
}
