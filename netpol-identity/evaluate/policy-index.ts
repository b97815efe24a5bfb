// Which set holds for which pod, and who is in its groups, kept up with the cluster: a pod that
// changed costs as much as there are queries about its namespace, however many pods there are.

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
import { makeSet, type PeerGroups } from "./make-set.ts";
import { isReachedAlike, PodGroups } from "./pod-groups.ts";
import { PodKinds } from "./pod-kinds.ts";
import { type PodChange, PodLedger } from "./pod-ledger.ts";
import { POLICY_KINDS, PolicyBook, type PolicyObjects } from "./policy-book.ts";
import type { GroupId, Groups, PolicySet } from "./policy-set.ts";
import { UsedPool } from "./used-pool.ts";

export type PolicySource = PolicyObjects &
  Pick<KubeStore, "pods" | "namespaces" | "serviceAccounts" | "nodes" | "revisionOf">;

export interface PolicyIndexSettings {
  /** This cluster's own. */
  readonly trustDomain: string;
}

type DirectedSets = Readonly<Record<Direction, PolicySet | undefined>>;

/** As long as sets mean the same for the same pod. */
interface Era {
  readonly book: PolicyBook;
  readonly ofPods: WeakMap<Pod, DirectedSets>;
  readonly ofKinds: PodKinds<DirectedSets>;
  /** By the policies and whatever else makes a set. */
  readonly sets: Map<string, PolicySet | undefined>;
}

const NOBODY: ReadonlySet<string> = new Set();
const KINDS: readonly Kind[] = [...POLICY_KINDS, "Pod", "Namespace", "ServiceAccount", "Node"];

/**
 * To be asked after an update from a store that is synced: what is not known yet would look like
 * what is not there, and open what is closed. Sets, and the members of groups, are the same objects
 * as before while they are equal; groups are those of the sets that were asked for.
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
  readonly #peers: PeerGroups;
  readonly #setsById = new UsedPool<PolicySet>();
  #source: PolicySource | undefined;
  #namespaceLabels: ReadonlyMap<string, { readonly labels: Labels }> = new Map();
  #accounts: ReadonlyMap<string, readonly ServiceAccount[]> = new Map();
  #era: Era | undefined;
  #eras = 0;
  #changes: readonly PodChange[] = [];
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
        const [namespaces, serviceAccounts] = [this.#namespaceLabels, this.#accounts];
        return identityMembers(query, { trustDomain, namespaces, serviceAccounts });
      },
    };
    this.#identityGroups = new DerivedGroups(identities, this.#identities);
    this.#peers = {
      trustDomain,
      pods: (query) => this.#podGroups.of(query),
      nodes: (labels) => this.#nodeGroups.of(labels),
      domain: (name) => this.#domainGroups.of(name),
      identities: (query) => this.#identityGroups.of(query),
      named: (query, port, block) => this.#podGroups.named(query, port, block),
    };
  }

  /** Rises with every change of a set or of a group's members; at times without one. */
  get revision(): number {
    return this.#revision;
  }

  /** Rises when pods that are the same objects as before may have other sets. */
  get eras(): number {
    return this.#eras;
  }

  /** Pods that the last update found to be others than the one before; they may have other sets. */
  get changes(): readonly PodChange[] {
    return this.#changes;
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
    let isChanged = changes.some(isOfConsequence);
    if (stale.has("ServiceAccount")) {
      this.#accounts = Map.groupBy(source.serviceAccounts.values(), ({ namespace }) => namespace);
    }
    const isNew = POLICY_KINDS.some((kind) => stale.has(kind));
    if (isNew) this.#sweep();
    const { isChanged: arePodsOthers, arePortsOthers } = this.#podGroups.refresh();
    if (isNew || arePortsOthers || labelled.length > 0) {
      this.#era = undefined;
      this.#eras++;
      isChanged = true;
    }
    if (arePodsOthers) isChanged = true;
    if (stale.has("Node") && this.#nodeGroups.refresh()) isChanged = true;
    if (stale.has("Namespace") || stale.has("ServiceAccount")) {
      if (this.#identityGroups.refresh()) isChanged = true;
    }
    const isOthers = this.#carriers.update(changes, () => this.#ledger.all(), isEnrolled);
    if (isOthers || isChanged) this.#revision++;
    return isOthers || isChanged;
  }

  /** Undefined: no policy selects the pod, and the mesh's default is open. */
  setOf(pod: Pod, direction: Direction): PolicySet | undefined {
    if (pod.hostNetwork || pod.isOver) return undefined;
    const era = this.#currentEra();
    const known = era.ofPods.get(pod);
    if (known !== undefined) return known[direction];
    const made = era.ofKinds.of(pod, () => this.#makeSets(pod, era));
    era.ofPods.set(pod, made);
    return made[direction];
  }

  /** Addresses of enrolled pods whose identity is in the group: who can prove it on the wire. */
  carriers(identityGroup: GroupId): ReadonlySet<string> {
    return this.#carriers.of(identityGroup, this.#identities.get(identityGroup) ?? NOBODY);
  }

  /** Names of the policies that say something about the pod in that direction. */
  policiesOf(pod: Pod, direction: Direction): readonly string[] {
    if (pod.hostNetwork || pod.isOver) return [];
    const policies = this.#currentEra().book.selecting(pod);
    return policies.filter((one) => one[direction] !== undefined).map(({ name }) => name);
  }

  /** How many pods a policy selects. @param policyName `NetworkPolicy default/web` */
  selectedBy(policyName: string): number {
    return this.#currentEra().book.countSelected(policyName, this.#ledger.all());
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
    const before = this.#namespaceLabels;
    this.#namespaceLabels = new Map(namespaces);
    const changed = [...new Set([...before.keys(), ...namespaces.keys()])].filter(
      (name) => !isSameLabels(before.get(name)?.labels, namespaces.get(name)?.labels),
    );
    this.#podGroups.relabel(this.#namespaceLabels, changed);
    return changed;
  }

  #currentEra(): Era {
    assert.ok(this.#source, "sets are asked for after an update");
    this.#era ??= {
      book: new PolicyBook(this.#source, this.#namespaceLabels),
      ofPods: new WeakMap(),
      ofKinds: new PodKinds(),
      sets: new Map(),
    };
    return this.#era;
  }

  #makeSets(pod: Pod, { book, sets }: Era): DirectedSets {
    const policies = book.selecting(pod);
    const otherwise = book.otherwise(pod);
    const key = JSON.stringify([policies.map(({ name }) => name), pod.ports, otherwise]);
    const make = (direction: Direction): PolicySet | undefined => {
      const place = `${direction} ${key}`;
      if (sets.has(place)) return sets.get(place);
      const made = makeSet({ direction, policies, ports: pod.ports, otherwise }, this.#peers);
      const set = made && this.#setsById.use(made.id, () => made);
      sets.set(place, set);
      return set;
    };
    return { ingress: make("ingress"), egress: make("egress") };
  }

  #nodeAddresses(selector: LabelSelector): ReadonlySet<string> {
    const nodes = this.#source?.nodes.values() ?? [];
    return new Set(
      Iterator.from(nodes)
        .filter(({ labels }) => matchesLabels(selector, labels))
        .flatMap(({ addresses }) => addresses.map(({ address }) => address)),
    );
  }

  /** What no set asked for since policies changed the last time. */
  #sweep(): void {
    this.#setsById.sweep();
    this.#podGroups.sweep();
    this.#nodeGroups.sweep();
    this.#domainGroups.sweep();
    this.#carriers.forget(this.#identityGroups.sweep());
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
