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

interface Known {
  readonly members: readonly (ReadonlySet<string> | undefined)[];
  readonly version: number;
  readonly denials: Map<string, boolean>;
}

export class SetVerdicts {
  #groups: Groups;
  #known = new Map<string, Known>();
  #before = new Map<string, Known>();
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
  }

  /** Another number whenever the set may say something else. */
  versionOf(set: PolicySet | undefined): number {
    return set === undefined ? 0 : this.#find(set).version;
  }

  /** Whether the set denies it for certain; where more has to be known a worker looks closer. */
  denies(set: PolicySet | undefined, attempt: Attempt): boolean {
    if (set === undefined) return false;
    const { denials } = this.#find(set);
    const { port, address, identity, isSelf } = attempt;
    const key = `${port} ${address} ${identity ?? ""} ${isSelf ?? ""}`;
    const known = denials.get(key);
    if (known !== undefined) return known;
    const denied = judge(set, { protocol: "TCP", ...attempt }, this.#groups).kind === "deny";
    if (denials.size >= MAX_VERDICTS) denials.clear();
    denials.set(key, denied);
    return denied;
  }

  #find(set: PolicySet): Known {
    const known = this.#known.get(set.id);
    if (known !== undefined) return known;
    const { addresses, identities } = groupsOf(set);
    const members = [
      ...addresses.map((group) => this.#groups.addresses(group)),
      ...identities.map((group) => this.#groups.identities(group)),
    ];
    const before = this.#before.get(set.id);
    const isSame = before?.members.every((one, i) => one === members[i]) === true;
    const found = isSame ? before : { members, version: ++this.#versions, denials: new Map() };
    this.#known.set(set.id, found);
    return found;
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
