// What a worker knows of policies: the plan so far, and what it says of one end of a flow. What
// should be known and is not denies.

import type { Address } from "../../lib/ip/address.ts";
import { auditsOf, judge } from "../evaluate/judge.ts";
import type { GroupId, Groups, PolicySet } from "../evaluate/policy-set.ts";
import type { Flow, Verdict } from "../evaluate/verdict.ts";
import type { Direction } from "../model/policy.ts";
import {
  type GroupChange,
  type GroupIds,
  groupsOf,
  type PolicyPlanDelta,
  type PolicyPod,
} from "../plan/policy-plan.ts";
import { isEmptyPolicyDelta } from "../plan/policy-ledger.ts";

/** Before the first plan, or of a plan with a hole. */
export const NOT_KNOWN: Verdict = { kind: "deny", rule: "its policies are not known yet" };
const NO_POD: Verdict = { kind: "deny", rule: "the pod is not known yet" };

interface HeldSet {
  readonly set: PolicySet;
  readonly asks: GroupIds;
  readonly readsRequests: boolean;
}

export class PolicyTables implements Groups {
  readonly #sets = new Map<string, HeldSet>();
  readonly #addresses = new Map<GroupId, Set<string>>();
  readonly #identities = new Map<GroupId, Set<string>>();
  readonly #pods = new Map<Address, PolicyPod>();
  #revision = 0;
  #readsRequests = false;

  /** Grows with each delta; 0 before the first, when everything is denied. */
  get revision(): number {
    return this.#revision;
  }

  /** Whether rules of some pod of this node are about requests to it. */
  get readsRequests(): boolean {
    return this.#readsRequests;
  }

  apply(delta: PolicyPlanDelta): void {
    // What a control process has to say before it has seen the cluster: nothing is known by it.
    if (isEmptyPolicyDelta(delta)) return;
    const { sets, addresses, identities, pods } = delta;
    this.#revision++;
    for (const [id, set] of sets) {
      if (set === null) this.#sets.delete(id);
      else this.#sets.set(id, { set, asks: groupsOf(set), readsRequests: readsRequests(set) });
    }
    for (const change of addresses) changeGroup(this.#addresses, change);
    for (const change of identities) changeGroup(this.#identities, change);
    for (const [address, pod] of pods) {
      if (pod === null) this.#pods.delete(address);
      else this.#pods.set(address, pod);
    }
    this.#readsRequests = this.#pods.values().some((pod) => this.#isRead(pod));
  }

  addresses(group: GroupId): ReadonlySet<string> | undefined {
    return this.#addresses.get(group);
  }

  identities(group: GroupId): ReadonlySet<string> | undefined {
    return this.#identities.get(group);
  }

  pod(address: Address): PolicyPod | undefined {
    return this.#pods.get(address);
  }

  /** @param target the pod that is called. @param groups others than these, for a trial */
  judgeIngress(target: Address, flow: Flow, groups: Groups = this): Verdict {
    return this.#judge("ingress", target, flow, groups);
  }

  /** @param client the pod that calls */
  judgeEgress(client: Address, flow: Flow): Verdict {
    return this.#judge("egress", client, flow, this);
  }

  /** What it may call on its own node. */
  judgeOwnNode(client: Address, flow: Flow): Verdict {
    return this.#judge("egress", client, flow, this, ({ ownNode }) => ownNode);
  }

  /** Names of the rules that want to be told of this flow. */
  auditsOf(direction: Direction, address: Address, flow: Flow): readonly string[] {
    const id = this.#pods.get(address)?.[direction];
    const held = id === undefined ? undefined : this.#sets.get(id);
    return auditsOf(held?.set, flow, this);
  }

  #judge(
    direction: Direction,
    address: Address,
    flow: Flow,
    groups: Groups,
    partOf: (set: PolicySet) => PolicySet | undefined = (set) => set,
  ): Verdict {
    if (this.#revision === 0) return NOT_KNOWN;
    const pod = this.#pods.get(address);
    if (pod === undefined) return NO_POD;
    const id = pod[direction];
    if (id === undefined) return judge(undefined, flow, groups);
    const held = this.#sets.get(id);
    if (held === undefined || !this.#knows(held.asks)) return NOT_KNOWN;
    return judge(partOf(held.set), flow, groups);
  }

  #isRead({ isLocal, ingress }: PolicyPod): boolean {
    if (isLocal !== true || ingress === undefined) return false;
    return this.#sets.get(ingress)?.readsRequests === true;
  }

  /** A group that nobody told of might be one that a rule denies. */
  #knows({ addresses, identities }: GroupIds): boolean {
    for (const id of addresses) if (!this.#addresses.has(id)) return false;
    for (const id of identities) if (!this.#identities.has(id)) return false;
    return true;
  }
}

function readsRequests({ admin, denies, network, account, baseline }: PolicySet): boolean {
  const lists = [admin, denies, network?.rules ?? [], account?.rules ?? [], baseline];
  return lists.some((rules) => rules.some(({ requests }) => requests !== undefined));
}

function changeGroup(groups: Map<GroupId, Set<string>>, [id, change]: GroupChange): void {
  if (change === null) {
    groups.delete(id);
    return;
  }
  const members = groups.get(id) ?? new Set();
  for (const member of change.removed) members.delete(member);
  for (const member of change.added) members.add(member);
  groups.set(id, members);
}
