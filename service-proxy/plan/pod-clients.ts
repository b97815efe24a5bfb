// Which pod of this node has which address, for proxy workers. Pure but for a memory of pods.

import type { Pod } from "../../lib/kube/api/pod.ts";
import type { ProxyClient } from "../model/proxy-plan.ts";

/**
 * Makes a reader that gives equal pods the same value every time, so that differences are found by
 * comparing references. An address that two pods claim belongs to neither.
 */
export function makeClientReader(
  nodeName: string,
): (pods: Iterable<Pod>) => ReadonlyMap<string, ProxyClient> {
  const known = new WeakMap<Pod, ProxyClient>();
  const clientOf = (pod: Pod): ProxyClient => {
    const { namespace, name, serviceAccount } = pod;
    const client = known.get(pod) ?? { namespace, pod: name, serviceAccount };
    known.set(pod, client);
    return client;
  };
  return (pods) => {
    const clients = new Map<string, ProxyClient>();
    const claimed = new Set<string>();
    for (const pod of pods) {
      if (pod.nodeName !== nodeName) continue;
      for (const address of pod.addresses) {
        if (claimed.has(address)) clients.delete(address);
        else clients.set(address, clientOf(pod));
        claimed.add(address);
      }
    }
    return clients;
  };
}
