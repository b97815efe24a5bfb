// Which set holds for which pod, and who is in its groups, kept up with the cluster: a pod that
// changed costs as much as there are queries about its namespace, and a policy as much as there are
// pods that it selects and names, however many others there are.

import assert from "node:assert/strict";
import type { Labels } from "../../lib/kube/api/intern.ts";
import {
  formatLabelSelector,
  type LabelSelector,
  matchesLabels,
} from "../../lib/kube/api/label-selector.ts";
import type { Namespace } from "../../lib/kube/api/namespace.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { ServiceAccount } from "../../lib/kube/api/service-account.ts";
import type { Kind, KubeStore } from "../../lib/kube/store.ts";
import type { Direction, IdentityQuery } from "../model/policy.ts";
import { Carriers, type IsEnrolled } from "./carriers.ts";
import { DerivedGroups, isSameSet } from "./derived-groups.ts";
import { identityMembers, identityQueryKey } from "./identity-group.ts";
import { KindSets } from "./kind-sets.ts";
import { isReachedAlike, PodGroups } from "./pod-groups.ts";
import { type PodChange, PodLedger } from "./pod-ledger.ts";
import { inNamespace, type NamespaceLabels } from "./pod-query.ts";
import { POLICY_KINDS, PolicyBook, type PolicyObjects } from "./policy-book.ts";
import type { PeerGroups } from "./policy-rules.ts";
import type { GroupId, Groups, PolicySet } from "./policy-set.ts";

export type PolicySource = PolicyObjects &
  Pick<KubeStore, "pods" | "namespaces" | "serviceAccounts" | "nodes" | "revisionOf">;

export interface PolicyIndexSettings {
  /** This cluster's own. */
  readonly trustDomain: string;
}

const NOBODY: ReadonlySet<string> = new Set();
const KINDS: readonly Kind[] = [...POLICY_KINDS, "Pod", "Namespace", "ServiceAccount", "Node"];

/**
 * To be asked after an update from a store that is synced: what is not known yet would look like
 * what is not there, and open what is closed. Sets, and the members of groups, are the same objects
 * as before while they are equal; groups are those of policies that select who was asked about.
 */
export class PolicyIndex {
  readonly groups: Groups = {
    addresses: (group) => this.#addresses.get(group),
    identities: (group) => this.#identities.get(group),
  };
  readonly #addresses = new Map<GroupId, ReadonlySet<string>>();
  readonly #identities = new Map<GroupId, ReadonlySet<string>>();
  readonly #domains = new Map<string, ReadonlySet<string>>();
  readonly #revisions = new Map<Kind, number>();
  readonly #ledger = new PodLedger();
  readonly #podGroups = new PodGroups(this.#ledger, this.#addresses);
  readonly #carriers: Carriers;
  readonly #nodeGroups: DerivedGroups<LabelSelector>;
  readonly #identityGroups: DerivedGroups<IdentityQuery>;
  readonly #domainGroups: DerivedGroups<string>;
  readonly #book: PolicyBook;
  readonly #sets: KindSets;
  #source: PolicySource | undefined;
  #namespaces: NamespaceLabels = new Map();
  #accounts: ReadonlyMap<string, readonly ServiceAccount[]> = new Map();
  #changes: readonly PodChange[] = [];
  #others: readonly Pod[] = [];
  #revision = 0;

  constructor({ trustDomain }: PolicyIndexSettings) {
    this.#carriers = new Carriers(trustDomain);
    const nodes = {
      prefix: "n",
      keyOf: formatLabelSelector,
      membersOf: (labels: LabelSelector) => this.#nodeAddresses(labels),
    };
    this.#nodeGroups = new DerivedGroups(nodes, this.#addresses);
    const domains = {
      prefix: "d",
      keyOf: (name: string) => name,
      membersOf: (name: string) => this.#domains.get(name) ?? NOBODY,
    };
    this.#domainGroups = new DerivedGroups(domains, this.#addresses);
    const identities = {
      prefix: "i",
      keyOf: identityQueryKey,
      membersOf: (query: IdentityQuery) => {
        const [namespaces, serviceAccounts] = [this.#namespaces, this.#accounts];
        return identityMembers(query, { trustDomain, namespaces, serviceAccounts });
      },
    };
    this.#identityGroups = new DerivedGroups(identities, this.#identities);
    const groups: PeerGroups = {
      trustDomain,
      pods: (query) => this.#podGroups.of(query),
      nodes: (labels) => this.#nodeGroups.of(labels),
      domain: (name) => this.#domainGroups.of(name),
      identities: (query) => this.#identityGroups.of(query),
      named: (query, port, block) => this.#podGroups.named(query, port, block),
    };
    this.#book = new PolicyBook(groups);
    this.#sets = new KindSets(this.#book);
  }

  /** Rises with every change of a set or of a group's members; at times without one. */
  get revision(): number {
    return this.#revision;
  }

  /** Pods that the last update found to be others than the one before; they may have other sets. */
  get changes(): readonly PodChange[] {
    return this.#changes;
  }

  /**
   * Further pods that have other sets since the last update, of those that were asked about before
   * it, though they are the same objects.
   */
  get others(): readonly Pod[] {
    return this.#others;
  }

  /** Names whose addresses its groups want. */
  get domains(): ReadonlySet<string> {
    return new Set(this.#domainGroups.queries());
  }

  /**
   * Takes over what changed since the last time.
   * @param source synced; always the same one
   * @returns false where every set and group is what it was
   */
  update(source: PolicySource, isEnrolled: IsEnrolled): boolean {
    const stale = this.#staleKinds(source);
    this.#source = source;
    const labelled = stale.has("Namespace") ? this.#relabel(source.namespaces) : [];
    const changes = stale.has("Pod") ? this.#ledger.update(source.pods) : [];
    this.#changes = changes;
    this.#podGroups.apply(changes);
    this.#sets.move(changes);
    let isChanged = changes.some(isOfConsequence) || labelled.length > 0;
    if (stale.has("ServiceAccount")) {
      this.#accounts = Map.groupBy(source.serviceAccounts.values(), ({ namespace }) => namespace);
    }
    const touched = labelled.map(inNamespace);
    if (POLICY_KINDS.some((kind) => stale.has(kind))) {
      touched.push(...this.#book.update(source));
      isChanged = true;
    }
    const { isChanged: arePodsOthers, arePortsOthers } = this.#podGroups.refresh();
    if (arePortsOthers) touched.push(...this.#book.renumber());
    if (arePodsOthers) isChanged = true;
    if (stale.has("Node") && this.#nodeGroups.refresh()) isChanged = true;
    if (stale.has("Namespace") || stale.has("ServiceAccount")) {
      if (this.#identityGroups.refresh()) isChanged = true;
    }
    for (const query of touched) this.#sets.touch(query, this.#namespaces);
    this.#others = this.#sets.settle();
    for (const group of this.#book.sweep()) this.#forget(group);
    const isOthers = this.#carriers.update(changes, () => this.#ledger.all(), isEnrolled);
    if (isOthers || isChanged) this.#revision++;
    return isOthers || isChanged;
  }

  /** Undefined: no policy selects the pod, and the mesh's default is open. */
  setOf(pod: Pod, direction: Direction): PolicySet | undefined {
    if (pod.hostNetwork || pod.isOver) return undefined;
    assert.ok(this.#source, "sets are asked for after an update");
    return this.#sets.of(pod)[direction];
  }

  /** Addresses of enrolled pods whose identity is in the group: who can prove it on the wire. */
  carriers(identityGroup: GroupId): ReadonlySet<string> {
    return this.#carriers.of(identityGroup, this.#identities.get(identityGroup) ?? NOBODY);
  }

  /** Names of the policies that say something about the pod in that direction. */
  policiesOf(pod: Pod, direction: Direction): readonly string[] {
    if (pod.hostNetwork || pod.isOver) return [];
    const policies = this.#book.policiesOf(pod);
    return policies.filter((one) => one[direction] !== undefined).map(({ name }) => name);
  }

  /** @returns whether they are others than before */
  setDomainAddresses(name: string, addresses: ReadonlySet<string>): boolean {
    if (isSameSet(this.#domains.get(name) ?? NOBODY, addresses)) return false;
    if (addresses.size === 0) this.#domains.delete(name);
    else this.#domains.set(name, addresses);
    if (this.#domainGroups.refresh()) this.#revision++;
    return true;
  }

  #staleKinds(source: PolicySource): ReadonlySet<Kind> {
    const stale = KINDS.filter((kind) => this.#revisions.get(kind) !== source.revisionOf(kind));
    for (const kind of stale) this.#revisions.set(kind, source.revisionOf(kind));
    return new Set(stale);
  }

  /** @returns the namespaces whose labels are others than before */
  #relabel(namespaces: ReadonlyMap<string, Namespace>): readonly string[] {
    const before = this.#namespaces;
    this.#namespaces = new Map(namespaces);
    const changed = [...new Set([...before.keys(), ...namespaces.keys()])].filter(
      (name) => !isSameLabels(before.get(name)?.labels, namespaces.get(name)?.labels),
    );
    this.#podGroups.relabel(this.#namespaces, changed);
    this.#book.relabel(this.#namespaces, changed);
    return changed;
  }

  #nodeAddresses(selector: LabelSelector): ReadonlySet<string> {
    const nodes = this.#source?.nodes.values() ?? [];
    return new Set(
      Iterator.from(nodes)
        .filter(({ labels }) => matchesLabels(selector, labels))
        .flatMap(({ addresses }) => addresses.map(({ address }) => address)),
    );
  }

  #forget(group: GroupId): void {
    this.#podGroups.forget(group);
    this.#nodeGroups.forget(group);
    this.#domainGroups.forget(group);
    this.#identityGroups.forget(group);
    this.#carriers.forget(group);
  }
}

/** Whether a set or a group may be another for it. */
function isOfConsequence({ before, after }: PodChange): boolean {
  if (before === undefined || after === undefined) return true;
  if (before.serviceAccount !== after.serviceAccount) return true;
  return !isReachedAlike(before, after) || !isSameLabels(before.labels, after.labels);
}

function isSameLabels(a: Labels | undefined, b: Labels | undefined): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
