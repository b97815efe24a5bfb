// Groups that are worked out anew when what they rest on changed: few, or of things that seldom do.

import { contentName } from "./content-name.ts";
import type { GroupId } from "./policy-set.ts";

export interface GroupKind<Query> {
  /** What their names begin with. */
  readonly prefix: string;
  readonly keyOf: (query: Query) => string;
  readonly membersOf: (query: Query) => ReadonlySet<string>;
}

export class DerivedGroups<Query> {
  readonly #kind: GroupKind<Query>;
  readonly #members: Map<GroupId, ReadonlySet<string>>;
  readonly #queries = new Map<GroupId, Query>();

  /** @param members where those of its groups are written; a set stays while it is equal */
  constructor(kind: GroupKind<Query>, members: Map<GroupId, ReadonlySet<string>>) {
    this.#kind = kind;
    this.#members = members;
  }

  of(query: Query): GroupId {
    const { prefix, keyOf, membersOf } = this.#kind;
    const id = `${prefix}-${contentName(keyOf(query))}`;
    if (!this.#queries.has(id)) {
      this.#queries.set(id, query);
      this.#members.set(id, membersOf(query));
    }
    return id;
  }

  queries(): Iterable<Query> {
    return this.#queries.values();
  }

  /** @returns whether the members of any are others */
  refresh(): boolean {
    let isChanged = false;
    for (const [id, query] of this.#queries) {
      if (writeMembers(this.#members, id, this.#kind.membersOf(query))) isChanged = true;
    }
    return isChanged;
  }

  /** @param group maybe of another kind */
  forget(group: GroupId): void {
    if (this.#queries.delete(group)) this.#members.delete(group);
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
