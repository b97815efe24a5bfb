// Whether a node may have a certificate for an identity (threat T10): it runs a pod of that
// ServiceAccount at this moment. The node decides nothing, it is told where its pods are.

import type { Pod } from "../../lib/kube/api/pod.ts";
import { formatSpiffeId, parseSpiffeId, type WorkloadIdentity } from "../../lib/x509/spiffe-id.ts";
import type { Caller } from "./caller.ts";
import { type Refusal, refusal } from "./signing-refusal.ts";

export interface Entitlement {
  readonly kind: "entitled";
  readonly identity: WorkloadIdentity;
}

export interface EntitlementRules {
  readonly trustDomain: string;
  /**
   * Whether a pod that shares its node's network entitles the node to its identity. Nobody can
   * tell such pods apart on the wire, so they have the node's own identity unless asked for.
   */
  readonly hostNetworkPods: "excluded" | "included";
}

/**
 * Judges one wish.
 * @param wanted a SPIFFE ID; "" and the caller's own mean the caller, whose pod is there
 * @param pods all pods of the cluster; looked through once
 */
export function judgeEntitlement(
  wanted: string,
  caller: Caller,
  { trustDomain, hostNetworkPods }: EntitlementRules,
  pods: Iterable<Pod>,
): Entitlement | Refusal {
  const { namespace, serviceAccount, node } = caller;
  const own: WorkloadIdentity = { trustDomain, namespace, serviceAccount };
  const identity = wanted === "" ? own : parseSpiffeId(wanted);
  if (identity === undefined) {
    const form = "spiffe://<trust domain>/ns/<namespace>/sa/<service account>";
    return refusal("bad-request", `ImpersonatedIdentity is not of the form ${form}.`);
  }
  if (identity.trustDomain !== trustDomain) {
    return refusal("other-domain", `This CA signs for trust domain "${trustDomain}" only.`);
  }
  if (isSameAccount(identity, own)) return { kind: "entitled", identity };
  for (const pod of pods) {
    if (pod.nodeName !== node || pod.isOver || !isSameAccount(identity, pod)) continue;
    if (pod.hostNetwork && hostNetworkPods === "excluded") continue;
    return { kind: "entitled", identity };
  }
  const id = formatSpiffeId(identity);
  return refusal("no-pod", `No pod of ${id} with a network of its own lives on node ${node}.`);
}

interface Account {
  readonly namespace: string;
  readonly serviceAccount: string;
}

function isSameAccount(a: Account, b: Account): boolean {
  return a.serviceAccount === b.serviceAccount && a.namespace === b.namespace;
}
