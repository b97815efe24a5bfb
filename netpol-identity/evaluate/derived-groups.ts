// Groups that are worked out anew when what they rest on changed: few, or of things that seldom do.

import { contentName } from "./content-name.ts";
import type { GroupId } from "./policy-set.ts";
import { UsedPool } from "./used-pool.ts";

export interface GroupKind<Query> {
  /** What their names begin with. */
  readonly prefix: string;
  readonly keyOf: (query: Query) => string;
  readonly membersOf: (query: Query) => ReadonlySet<string>;
}

export class DerivedGroups<Query> {
  readonly #kind: GroupKind<Query>;
  readonly #members: Map<GroupId, ReadonlySet<string>>;
  readonly #groups = new UsedPool<{ readonly id: GroupId; readonly query: Query }>();

  /** @param members where those of its groups are written; a set stays while it is equal */
  constructor(kind: GroupKind<Query>, members: Map<GroupId, ReadonlySet<string>>) {
    this.#kind = kind;
    this.#members = members;
  }

  of(query: Query): GroupId {
    const { prefix, keyOf, membersOf } = this.#kind;
    const key = keyOf(query);
    const make = () => {
      const id = `${prefix}-${contentName(key)}`;
      this.#members.set(id, membersOf(query));
      return { id, query };
    };
    return this.#groups.use(key, make).id;
  }

  queries(): Iterable<Query> {
    return this.#groups.values().map(({ query }) => query);
  }

  /** @returns whether the members of any are others */
  refresh(): boolean {
    let isChanged = false;
    for (const { id, query } of this.#groups.values()) {
      if (writeMembers(this.#members, id, this.#kind.membersOf(query))) isChanged = true;
    }
    return isChanged;
  }

  /** Forgets the groups that no set asked for since the last time. */
  sweep(): readonly GroupId[] {
    const dropped = this.#groups.sweep().map(({ id }) => id);
    for (const id of dropped) this.#members.delete(id);
    return dropped;
  }
}

/** Writes members unless they are what is known; returns whether it did. */
export function writeMembers(
  groups: Map<GroupId, ReadonlySet<string>>,
  id: GroupId,
  members: ReadonlySet<string>,
): boolean {
  const known = groups.get(id);
  if (known !== undefined && isSameSet(known, members)) return false;
  groups.set(id, members);
  return true;
}

export function isSameSet(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && a.isSubsetOf(b);
}
