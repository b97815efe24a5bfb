// What sets say about connections, remembered while nobody enters or leaves a group that they name:
// a cluster's pods change all the time, and most of them concern few sets.

import { judge } from "../evaluate/judge.ts";
import type { GroupId, Groups, PolicySet, SetRule } from "../evaluate/policy-set.ts";
import type { Flow } from "../evaluate/verdict.ts";

/** A connection over TCP of which nothing was read yet. */
export type Attempt = Pick<Flow, "port" | "address" | "isSelf"> & {
  readonly identity: string | null;
};

/** So many verdicts of one set are kept; then it starts anew. */
const MAX_VERDICTS = 20_000;
const NOBODY: ReadonlySet<string> = new Set();

/** Of a group that is not known nobody is a member. */
type Members = readonly (ReadonlySet<string> | undefined)[];

interface Difference {
  readonly were: ReadonlySet<string>;
  readonly addresses: ReadonlySet<string>;
}

interface Known {
  readonly named: NamedGroups;
  readonly addresses: Members;
  readonly identities: Members;
  readonly version: number;
  /** Addresses about which it may say something else than in the version before; or any. */
  readonly news: ReadonlySet<string> | "any";
  readonly denials: Denials;
}

export class SetVerdicts {
  #groups: Groups;
  #known = new Map<string, Known>();
  #before = new Map<string, Known>();
  /** Who came and went, by those who are members now. */
  #differences = new Map<ReadonlySet<string>, Difference>();
  #versions = 0;

  /** @param groups a group whose members change is another object from then on */
  constructor(groups: Groups) {
    this.#groups = groups;
  }

  get groups(): Groups {
    return this.#groups;
  }

  /** Sets about which nobody asked since the last time are forgotten. */
  renew(groups: Groups): void {
    this.#groups = groups;
    this.#before = this.#known;
    this.#known = new Map();
    this.#differences = new Map();
  }

  /** Another number whenever the set may say something else. */
  versionOf(set: PolicySet | undefined): number {
    return set === undefined ? 0 : this.#find(set).version;
  }

  /** Since its version before this one, if somebody asked about it then: see Known. */
  newsOf(set: PolicySet): ReadonlySet<string> | "any" {
    return this.#find(set).news;
  }

  /** Whether the set denies it for certain; where more has to be known a worker looks closer. */
  denies(set: PolicySet | undefined, attempt: Attempt): boolean {
    if (set === undefined) return false;
    const judged = (): boolean =>
      judge(set, { protocol: "TCP", ...attempt }, this.#groups).kind === "deny";
    // A pod that calls itself is the one that does: nothing to remember.
    if (attempt.isSelf === true) return judged();
    return this.#find(set).denials.of(attempt, judged);
  }

  #find(set: PolicySet): Known {
    const known = this.#known.get(set.id);
    if (known !== undefined) return known;
    const before = this.#before.get(set.id);
    const named = before?.named ?? groupsOf(set);
    const addresses = named.addresses.map((group) => this.#groups.addresses(group));
    const identities = named.identities.map((group) => this.#groups.identities(group));
    const isSame = (a: Members, b: Members): boolean => a.every((one, i) => one === b[i]);
    const isProvenAlike = before !== undefined && isSame(before.identities, identities);
    const found: Known =
      isProvenAlike && isSame(before.addresses, addresses)
        ? before
        : {
            named,
            addresses,
            identities,
            version: ++this.#versions,
            news: isProvenAlike ? this.#difference(before.addresses, addresses) : "any",
            denials: new Denials(),
          };
    this.#known.set(set.id, found);
    return found;
  }

  #difference(before: Members, after: Members): ReadonlySet<string> {
    const all = new Set<string>();
    for (const [i, members = NOBODY] of after.entries()) {
      const were = before[i] ?? NOBODY;
      if (members === were) continue;
      for (const address of this.#differenceOf(were, members)) all.add(address);
    }
    return all;
  }

  /** Many sets name the same group. */
  #differenceOf(were: ReadonlySet<string>, members: ReadonlySet<string>): ReadonlySet<string> {
    const known = this.#differences.get(members);
    if (known?.were === were) return known.addresses;
    const addresses = members.symmetricDifference(were);
    this.#differences.set(members, { were, addresses });
    return addresses;
  }
}

/** What one set says, by port, by identity and by address. */
class Denials {
  readonly #byPort = new Map<number, Map<string | null, Map<string, boolean>>>();
  #size = 0;

  of({ port, identity, address }: Attempt, judge: () => boolean): boolean {
    const known = this.#byPort.get(port)?.get(identity)?.get(address);
    if (known !== undefined) return known;
    if (this.#size >= MAX_VERDICTS) {
      this.#byPort.clear();
      this.#size = 0;
    }
    const byIdentity = this.#byPort.get(port) ?? new Map<string | null, Map<string, boolean>>();
    const byAddress = byIdentity.get(identity) ?? new Map<string, boolean>();
    this.#byPort.set(port, byIdentity);
    byIdentity.set(identity, byAddress);
    const denied = judge();
    byAddress.set(address, denied);
    this.#size++;
    return denied;
  }
}

/** The rules of a set that decide something. */
export function rulesOf(set: PolicySet): readonly SetRule[] {
  const { admin, denies, network, account, baseline } = set;
  return [admin, denies, network?.rules ?? [], account?.rules ?? [], baseline].flat();
}

interface NamedGroups {
  readonly addresses: readonly GroupId[];
  readonly identities: readonly GroupId[];
}

/** The groups that a set names. */
export function groupsOf(set: PolicySet): NamedGroups {
  const peers = rulesOf(set).flatMap((rule) => (rule.peers === "any" ? [] : [rule.peers]));
  return {
    addresses: [...new Set(peers.flatMap(({ groups }) => groups))],
    identities: [...new Set(peers.flatMap(({ identities }) => identities))],
  };
}
