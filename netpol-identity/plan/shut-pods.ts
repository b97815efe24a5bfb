// Which pods of a node are closed, wholly or in part, since their policies ask more than a node does.

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
