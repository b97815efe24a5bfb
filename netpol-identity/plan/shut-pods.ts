// Which pods of a node are closed, wholly or in part, since their policies ask more than is done.

import type { Pod } from "../../lib/kube/api/pod.ts";
import type { PolicyIndex } from "../evaluate/policy-index.ts";
import type { PolicyObjects } from "../evaluate/policy-book.ts";
import type { PolicySet } from "../evaluate/policy-set.ts";
import { MOST_CONDITIONS } from "../evaluate/request-limit.ts";
import type { NetworkPod } from "./network-world.ts";

/**
 * A sentence for each. Anybody may read it: pods go by their addresses, and no policy is named.
 * @param closed sets that would take the kernel too many lists
 */
export function shutPods(
  pods: readonly NetworkPod[],
  closed: ReadonlySet<PolicySet>,
): readonly string[] {
  const isShut = (set: PolicySet | undefined): boolean => set !== undefined && closed.has(set);
  return pods.flatMap(({ addresses, ingress, egress }) => {
    const pod = addresses.join();
    const { conditions } = ingress ?? {};
    return [
      ...(isShut(ingress) || isShut(egress)
        ? [`Cannot hold the policies of pod ${pod}: too many lists, so it is closed`]
        : []),
      ...(conditions === undefined
        ? []
        : [
            `Cannot judge requests to pod ${pod}: ${conditions} conditions, of at most` +
              ` ${MOST_CONDITIONS}, so ports that rules about requests are about are closed`,
          ]),
    ];
  });
}

export interface ShutWorld {
  /** Of this node. */
  readonly pods: Iterable<Pod>;
  readonly index: Pick<PolicyIndex, "setOf" | "policiesOf">;
  readonly policies: PolicyObjects["serviceAccountPolicies"];
}

/** By uid: policies with rules about requests to pods for which those are too many, and why. */
export function shutPolicies({ pods, index, policies }: ShutWorld): ReadonlyMap<string, string> {
  const shut = new Map<string, string>();
  for (const pod of pods) {
    const { conditions } = index.setOf(pod, "ingress") ?? {};
    if (conditions === undefined) continue;
    const why =
      `a pod has ${conditions} conditions on requests, of at most ${MOST_CONDITIONS}:` +
      " the ports that they are about are closed";
    for (const name of index.policiesOf(pod, "ingress")) {
      const policy = policies.get(name.replace(/^ServiceAccountPolicy /, ""));
      const isAsking = policy?.ingress?.some(({ requests }) => requests !== undefined);
      if (policy !== undefined && isAsking) shut.set(policy.uid, why);
    }
  }
  return shut;
}
