// Whose an address is, among all pods of the cluster. Pure.

import type { Pod } from "../../lib/kube/api/pod.ts";

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
