// Which policies are known, and in which generation: what a node holds and what a cluster has are
// compared by it. Those of NetworkPolicy have no status, and nobody asks about them.

import type { HeldPolicies } from "../model/enforcement-report.ts";
import type { PolicyObjects } from "./policy-book.ts";

export function heldPolicies(objects: Omit<PolicyObjects, "networkPolicies">): HeldPolicies {
  return new Map(
    [
      ...objects.serviceAccountPolicies.values(),
      ...objects.meshPolicies.values(),
      ...objects.clusterNetworkPolicies.values(),
    ].map(({ uid, generation }) => [uid, generation]),
  );
}
