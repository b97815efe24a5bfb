// What proxy workers should know of policies, and what they have not been told yet: as
// TunnelLedger, but for groups, of which only the members that come and go are told.

import type { GroupId, Groups, PolicySet } from "../evaluate/policy-set.ts";
import { LedgerTable } from "./ledger-table.ts";
import {
  type GroupChange,
  type GroupIds,
  groupsOf,
  type PolicyPlanDelta,
  type PolicyPod,
  isSamePod,
} from "./policy-plan.ts";

/** Everything that workers know of policies. */
export interface PolicyView {
  /** Of all pods of the cluster; the same list as before while they are the same. */
  readonly sets: readonly PolicySet[];
  /** A group whose members changed is another object than before. */
  readonly groups: Groups;
  /** By address; the same map as before where only those of `touched` may differ. */
  readonly pods: ReadonlyMap<string, PolicyPod>;
  readonly touched?: Iterable<string>;
}

export class PolicyLedger {
  readonly #sets = new LedgerTable<PolicySet>((a, b) => a.id === b.id);
  readonly #addresses = new GroupLedger();
  readonly #identities = new GroupLedger();
  readonly #pods = new LedgerTable<PolicyPod>(isSamePod);
  #listed: readonly PolicySet[] = [];
  #asked: GroupIds = { addresses: new Set(), identities: new Set() };

  replace({ sets, groups, pods, touched = [] }: PolicyView): void {
    if (sets !== this.#listed) this.#list(sets);
    const { addresses, identities } = this.#asked;
    this.#addresses.wanted = membersOf(addresses, (id) => groups.addresses(id));
    this.#identities.wanted = membersOf(identities, (id) => groups.identities(id));
    this.#pods.wanted = pods;
    this.#pods.touch(touched);
  }

  #list(sets: readonly PolicySet[]): void {
    this.#listed = sets;
    this.#sets.wanted = new Map(sets.map((set) => [set.id, set]));
    const all = sets.map(groupsOf);
    this.#asked = {
      addresses: new Set(all.flatMap(({ addresses }) => [...addresses])),
      identities: new Set(all.flatMap(({ identities }) => [...identities])),
    };
  }

  /** What is new or differs since the last call. */
  takeFresh(): PolicyPlanDelta {
    return {
      sets: this.#sets.takeFresh(),
      addresses: this.#addresses.takeFresh(),
      identities: this.#identities.takeFresh(),
      pods: this.#pods.takeFresh(),
    };
  }

  /** What workers were told and is gone. */
  takeGone(): PolicyPlanDelta {
    return {
      sets: this.#sets.takeGone(),
      addresses: this.#addresses.takeGone(),
      identities: this.#identities.takeGone(),
      pods: this.#pods.takeGone(),
    };
  }

  /** Everything, for a worker that knows nothing. */
  whole(): PolicyPlanDelta {
    return {
      sets: [...this.#sets.wanted],
      addresses: this.#addresses.whole(),
      identities: this.#identities.whole(),
      pods: [...this.#pods.wanted],
    };
  }
}

/** Nothing in it to tell. */
export function isEmptyPolicyDelta(delta: PolicyPlanDelta): boolean {
  const { sets, addresses, identities, pods } = delta;
  return sets.length + addresses.length + identities.length + pods.length === 0;
}

/** Members by group, and those that workers have. */
class GroupLedger {
  wanted: ReadonlyMap<GroupId, ReadonlySet<string>> = new Map();
  readonly #told = new Map<GroupId, ReadonlySet<string>>();

  takeFresh(): readonly GroupChange[] {
    const changes: GroupChange[] = [];
    for (const [id, members] of this.wanted) {
      const told = this.#told.get(id);
      if (told === members) continue;
      this.#told.set(id, members);
      const added = told === undefined ? [...members] : [...members.difference(told)];
      const removed = told === undefined ? [] : [...told.difference(members)];
      const isNews = told === undefined || added.length + removed.length > 0;
      if (isNews) changes.push([id, { added, removed }]);
    }
    return changes;
  }

  takeGone(): readonly GroupChange[] {
    const gone = [...this.#told.keys()].filter((id) => !this.wanted.has(id));
    for (const id of gone) this.#told.delete(id);
    return gone.map((id) => [id, null]);
  }

  whole(): readonly GroupChange[] {
    return [...this.wanted].map(([id, members]) => [id, { added: [...members], removed: [] }]);
  }
}

/** What nobody knows is not told: whoever asks about it is denied. */
function membersOf(
  ids: ReadonlySet<GroupId>,
  find: (id: GroupId) => ReadonlySet<string> | undefined,
): ReadonlyMap<GroupId, ReadonlySet<string>> {
  const found = new Map<GroupId, ReadonlySet<string>>();
  for (const id of ids) {
    const members = find(id);
    if (members !== undefined) found.set(id, members);
  }
  return found;
}
