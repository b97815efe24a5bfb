// All policies as the evaluator reads them, found by the pods that they select, and kept up with
// the cluster: a policy is read again when it is another object.

import { MESH_POLICY, type MeshPolicy } from "../../lib/kube/api/mesh-policy.ts";
import type { Kind, KubeStore } from "../../lib/kube/store.ts";
import type { MeshDefault, PodQuery, Policy } from "../model/policy.ts";
import { CountedPool } from "./counted-pool.ts";
import type { PodTraits } from "./pod-kinds.ts";
import {
  EVERY_POD,
  type NamespaceLabels,
  selectsInNamespace,
  selectsNamespace,
} from "./pod-query.ts";
import { type PeerGroups, PolicyRules } from "./policy-rules.ts";
import type { GroupId } from "./policy-set.ts";
import { policyOfClusterNetworkPolicy } from "./read-cluster-network-policy.ts";
import { meshRuleOf } from "./read-mesh-policy.ts";
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

interface Entry {
  readonly object: object;
  readonly policy: Policy;
  /** Undefined: nobody asked for them yet. */
  rules: PolicyRules | undefined;
}

export class PolicyBook {
  readonly #groups: PeerGroups;
  readonly #network = new Map<string, Entry>();
  readonly #account = new Map<string, Entry>();
  readonly #cluster = new Map<string, Entry>();
  /** Those of one namespace, by its name. */
  readonly #named = new Map<string, Set<Entry>>();
  readonly #labelled = new Set<Entry>();
  /** What of both is about a namespace, as far as it was asked for. */
  readonly #about = new Map<string, readonly Entry[]>();
  /** How many policies ask for a group. */
  readonly #uses = new CountedPool<GroupId>();
  readonly #dropped: PolicyRules[] = [];
  #namespaces: NamespaceLabels = new Map();
  #meshPolicy: MeshPolicy | undefined;
  #mesh = meshRuleOf(undefined);
  #serials = 0;

  constructor(groups: PeerGroups) {
    this.#groups = groups;
  }

  /** @param changed namespaces whose labels are others */
  relabel(namespaces: NamespaceLabels, changed: Iterable<string>): void {
    this.#namespaces = namespaces;
    for (const namespace of changed) this.#about.delete(namespace);
  }

  /** @returns pods for which something else may hold: whom policies select that came or went */
  update(objects: PolicyObjects): readonly PodQuery[] {
    const touched: PodQuery[] = [
      ...this.#read(this.#network, objects.networkPolicies, policyOfNetworkPolicy),
      ...this.#read(this.#account, objects.serviceAccountPolicies, policyOfServiceAccountPolicy),
      ...this.#read(this.#cluster, objects.clusterNetworkPolicies, policyOfClusterNetworkPolicy),
    ];
    const meshPolicy = objects.meshPolicies.get(MESH_POLICY);
    if (meshPolicy === this.#meshPolicy) return touched;
    this.#meshPolicy = meshPolicy;
    this.#mesh = meshRuleOf(meshPolicy);
    return [...touched, EVERY_POD];
  }

  /** Names of ports mean others than before. @returns pods for which something else may hold */
  renumber(): readonly PodQuery[] {
    const stale = [this.#network, this.#account, this.#cluster]
      .flatMap((entries) => [...entries.values()])
      .filter(({ rules }) => rules?.isStale === true);
    for (const entry of stale) this.#dropRules(entry);
    return stale.map(({ policy }) => policy.subject);
  }

  /** In no order. */
  selecting(pod: PodTraits): readonly PolicyRules[] {
    return this.#entries(pod).map((entry) => this.#rulesOf(entry));
  }

  /** Sorted by their names. */
  policiesOf(pod: PodTraits): readonly Policy[] {
    const found = this.#entries(pod).map(({ policy }) => policy);
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  otherwise(pod: PodTraits): MeshDefault {
    const { otherwise, exceptions } = this.#mesh;
    return exceptions.some((query) => this.#selects(query, pod)) ? "open" : otherwise;
  }

  /** Groups that no policy asks for any more, since the last time. */
  sweep(): readonly GroupId[] {
    const dropped = this.#dropped.splice(0).flatMap(({ groups }) => [...groups]);
    return dropped.filter((group) => this.#uses.release(group));
  }

  #read<T extends object>(
    known: Map<string, Entry>,
    objects: ReadonlyMap<string, T>,
    read: (object: T) => Policy,
  ): readonly PodQuery[] {
    const touched: PodQuery[] = [];
    const remove = (entry: Entry): void => {
      this.#shelve(entry, (shelf) => shelf.delete(entry));
      this.#dropRules(entry);
      touched.push(entry.policy.subject);
    };
    for (const [key, object] of objects) {
      const before = known.get(key);
      if (before?.object === object) continue;
      if (before !== undefined) remove(before);
      const entry: Entry = { object, policy: read(object), rules: undefined };
      known.set(key, entry);
      this.#shelve(entry, (shelf) => shelf.add(entry));
      touched.push(entry.policy.subject);
    }
    if (known.size === objects.size) return touched;
    for (const [key, entry] of known) {
      if (objects.has(key)) continue;
      known.delete(key);
      remove(entry);
    }
    return touched;
  }

  #shelve({ policy }: Entry, change: (shelf: Set<Entry>) => void): void {
    const { namespaces } = policy.subject;
    if (namespaces.kind === "labelled") {
      change(this.#labelled);
      this.#about.clear();
      return;
    }
    const shelf = this.#named.get(namespaces.name) ?? new Set();
    change(shelf);
    if (shelf.size === 0) this.#named.delete(namespaces.name);
    else this.#named.set(namespaces.name, shelf);
    this.#about.delete(namespaces.name);
  }

  #entries(pod: PodTraits): Entry[] {
    const candidates = this.#about.get(pod.namespace) ?? this.#find(pod.namespace);
    return candidates.filter(({ policy }) => selectsInNamespace(policy.subject, pod));
  }

  #find(namespace: string): readonly Entry[] {
    const labels = this.#namespaces.get(namespace)?.labels;
    const labelled = [...this.#labelled].filter(({ policy }) =>
      selectsNamespace(policy.subject.namespaces, namespace, labels),
    );
    const found = [...(this.#named.get(namespace) ?? []), ...labelled];
    this.#about.set(namespace, found);
    return found;
  }

  #selects(query: PodQuery, pod: PodTraits): boolean {
    const labels = this.#namespaces.get(pod.namespace)?.labels;
    return (
      selectsNamespace(query.namespaces, pod.namespace, labels) && selectsInNamespace(query, pod)
    );
  }

  #rulesOf(entry: Entry): PolicyRules {
    if (entry.rules !== undefined) return entry.rules;
    const rules = new PolicyRules(entry.policy, ++this.#serials, this.#groups);
    for (const group of rules.groups) this.#uses.take(group, () => group);
    entry.rules = rules;
    return rules;
  }

  /** Its groups stay until the next sweep: what takes its place mostly asks for the same. */
  #dropRules(entry: Entry): void {
    if (entry.rules !== undefined) this.#dropped.push(entry.rules);
    entry.rules = undefined;
  }
}
