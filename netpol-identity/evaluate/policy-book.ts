// All policies as the evaluator reads them, found by the pods that they select.

import { MESH_POLICY } from "../../lib/kube/api/mesh-policy.ts";
import type { Labels } from "../../lib/kube/api/intern.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { Kind, KubeStore } from "../../lib/kube/store.ts";
import type { MeshDefault, PodQuery, Policy } from "../model/policy.ts";
import { selectsInNamespace, selectsNamespace } from "./pod-query.ts";
import { policyOfClusterNetworkPolicy } from "./read-cluster-network-policy.ts";
import { type MeshRule, meshRuleOf } from "./read-mesh-policy.ts";
import { policyOfNetworkPolicy } from "./read-network-policy.ts";
import { policyOfServiceAccountPolicy } from "./read-service-account-policy.ts";

export type PolicyObjects = Pick<
  KubeStore,
  "networkPolicies" | "clusterNetworkPolicies" | "serviceAccountPolicies" | "meshPolicies"
>;

export const POLICY_KINDS: readonly Kind[] = [
  "NetworkPolicy",
  "ClusterNetworkPolicy",
  "ServiceAccountPolicy",
  "MeshPolicy",
];

type NamespaceLabels = ReadonlyMap<string, { readonly labels: Labels }>;

export class PolicyBook {
  readonly #policies: readonly Policy[];
  readonly #mesh: MeshRule;
  readonly #namespaces: NamespaceLabels;
  readonly #inNamespace = new Map<string, readonly Policy[]>();

  /** @param namespaces as they are now: labels that change need another book */
  constructor(objects: PolicyObjects, namespaces: NamespaceLabels) {
    this.#policies = [
      ...objects.networkPolicies.values().map(policyOfNetworkPolicy),
      ...objects.serviceAccountPolicies.values().map(policyOfServiceAccountPolicy),
      ...objects.clusterNetworkPolicies.values().map(policyOfClusterNetworkPolicy),
    ];
    this.#mesh = meshRuleOf(objects.meshPolicies.get(MESH_POLICY));
    this.#namespaces = namespaces;
  }

  selecting(pod: Pod): readonly Policy[] {
    const { namespace } = pod;
    const candidates = this.#inNamespace.get(namespace) ?? this.#find(namespace);
    return candidates.filter(({ subject }) => selectsInNamespace(subject, pod));
  }

  otherwise(pod: Pod): MeshDefault {
    const { otherwise, exceptions } = this.#mesh;
    return exceptions.some((query) => this.#selects(query, pod)) ? "open" : otherwise;
  }

  /** How many of the pods a policy selects. */
  countSelected(policyName: string, pods: Iterable<Pod>): number {
    const policy = this.#policies.find(({ name }) => name === policyName);
    if (policy === undefined) return 0;
    return Iterator.from(pods).reduce(
      (count, pod) => (this.#selects(policy.subject, pod) ? count + 1 : count),
      0,
    );
  }

  #find(namespace: string): readonly Policy[] {
    const labels = this.#namespaces.get(namespace)?.labels;
    const found = this.#policies.filter(({ subject }) =>
      selectsNamespace(subject.namespaces, namespace, labels),
    );
    this.#inNamespace.set(namespace, found);
    return found;
  }

  #selects(query: PodQuery, pod: Pod): boolean {
    const labels = this.#namespaces.get(pod.namespace)?.labels;
    return (
      selectsNamespace(query.namespaces, pod.namespace, labels) && selectsInNamespace(query, pod)
    );
  }
}
