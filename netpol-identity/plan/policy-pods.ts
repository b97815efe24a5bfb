// Which sets hold at which address, as workers are told, and the pods of this node, kept up change
// by change: a pod that changed costs the same however many others there are.

import { keyOf } from "../../lib/kube/store.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import { formatSpiffeId } from "../../lib/x509/spiffe-id.ts";
import type { PodChange } from "../evaluate/pod-ledger.ts";
import type { PolicySet } from "../evaluate/policy-set.ts";
import type { Direction } from "../model/policy.ts";
import { isSamePod, type PolicyPod } from "./policy-plan.ts";
import { AddressOwners, type WorkloadAddresses } from "./workload-addresses.ts";

/** What it asks the index of policies, right after each update of that. */
export interface PodSets {
  readonly changes: readonly PodChange[];
  /** That are the same objects as before, and have other sets. */
  readonly others: readonly Pod[];
  setOf(pod: Pod, direction: Direction): PolicySet | undefined;
}

export interface PolicyPodsSettings {
  readonly nodeName: string;
  readonly trustDomain: string;
}

export class PolicyPods {
  readonly #settings: PolicyPodsSettings;
  readonly #owners = new AddressOwners();
  readonly #local = new Map<string, Pod>();
  readonly #faces = new Map<string, PolicyPod>();
  readonly #sets = new Map<string, { readonly set: PolicySet; uses: number }>();
  #listed: readonly PolicySet[] | undefined;

  constructor(settings: PolicyPodsSettings) {
    this.#settings = settings;
  }

  get owners(): WorkloadAddresses {
    return this.#owners;
  }

  /** Pods of this node, those without an address too. */
  get local(): Iterable<Pod> {
    return this.#local.values();
  }

  /** By address; always the same map. */
  get faces(): ReadonlyMap<string, PolicyPod> {
    return this.#faces;
  }

  /** Those that hold at some address; the same list while they are the same. */
  get sets(): readonly PolicySet[] {
    this.#listed ??= this.#sets
      .values()
      .map(({ set }) => set)
      .toArray();
    return this.#listed;
  }

  /** @returns addresses of which something else may be told */
  update(index: PodSets): ReadonlySet<string> {
    const touched = new Set<string>();
    for (const change of index.changes) this.#take(change, touched);
    for (const { addresses } of index.others) for (const one of addresses) touched.add(one);
    for (const address of touched) this.#place(address, index);
    return touched;
  }

  #take(change: PodChange, touched: Set<string>): void {
    const { before, after } = change;
    this.#owners.change(change);
    for (const pod of [before, after]) for (const one of pod?.addresses ?? []) touched.add(one);
    const isLocal = after?.nodeName === this.#settings.nodeName;
    if (isLocal) this.#local.set(keyOf(after), after);
    else if (before !== undefined) this.#local.delete(keyOf(before));
  }

  #place(address: string, index: PodSets): void {
    const before = this.#faces.get(address);
    const pod = this.#owners.owned.get(address);
    if (pod === undefined) this.#faces.delete(address);
    else {
      const [ingress, egress] = [index.setOf(pod, "ingress"), index.setOf(pod, "egress")];
      this.#use(ingress);
      this.#use(egress);
      const face = this.#faceOf(pod, ingress, egress);
      if (before === undefined || !isSamePod(before, face)) this.#faces.set(address, face);
    }
    this.#release(before?.ingress);
    this.#release(before?.egress);
  }

  #faceOf(
    { uid, namespace, serviceAccount, nodeName }: Pod,
    ingress: PolicySet | undefined,
    egress: PolicySet | undefined,
  ): PolicyPod {
    const { trustDomain } = this.#settings;
    return {
      uid,
      identity: formatSpiffeId({ trustDomain, namespace, serviceAccount }),
      ...(ingress && { ingress: ingress.id }),
      ...(egress && { egress: egress.id }),
      ...(nodeName === this.#settings.nodeName && { isLocal: true }),
    };
  }

  #use(set: PolicySet | undefined): void {
    if (set === undefined) return;
    const known = this.#sets.get(set.id);
    if (known !== undefined) {
      known.uses++;
      return;
    }
    this.#sets.set(set.id, { set, uses: 1 });
    this.#listed = undefined;
  }

  #release(id: string | undefined): void {
    const known = id === undefined ? undefined : this.#sets.get(id);
    if (id === undefined || known === undefined) return;
    known.uses--;
    if (known.uses > 0) return;
    this.#sets.delete(id);
    this.#listed = undefined;
  }
}
