// How much policies may bring into one table. The kernel looks through all lists that there are for
// each one that is added, while nobody else may change anything, Services included: 8,000 took it 5
// to 9 s on a busy machine, 4,000 of those that rules bring along 11 s, twice as many four times as
// long. Rules are walked for the first packet of a flow, on a CPU that is everybody's.

import type { PlannedChain } from "../../lib/nft/table-plan.ts";
import type { PolicySet } from "../evaluate/policy-set.ts";

/** What the chains of one set of policies look into. */
export interface ListUse {
  /** The first of its chains. */
  readonly chain: string;
  /** Lists that others may look into as well. */
  readonly shared: ReadonlySet<string>;
  /** How many are its own. */
  readonly own: number;
  readonly rules: number;
}

export interface ListLimits {
  /** Of all sets together; what rules bring along counts three times. */
  readonly lists: number;
  /** Of one. */
  readonly rules: number;
}

/** Chains that are to let nobody through, so that the others fit: those that take most go first. */
export function chainsBeyond(uses: readonly ListUse[], limits: ListLimits): ReadonlySet<string> {
  const fitting = uses.filter(({ rules }) => rules <= limits.rules);
  const left = withinLists(fitting, limits.lists);
  const kept = new Set(left.map(({ chain }) => chain));
  return new Set(uses.map(({ chain }) => chain)).difference(kept);
}

function withinLists(uses: readonly ListUse[], most: number): readonly ListUse[] {
  const atMost = uses.reduce((sum, use) => sum + sizeOf(use), 0);
  if (atMost <= most || listsOf(uses) <= most) return uses;
  const left = uses.toSorted((a, b) => sizeOf(a) - sizeOf(b) || (a.chain < b.chain ? -1 : 1));
  while (listsOf(left) > most) left.pop();
  return left;
}

/** Lists that rules bring along. */
export function ownLists(chains: readonly PlannedChain[]): number {
  return chains
    .flatMap(({ rules }) => rules)
    .reduce((sum, { rule }) => sum + rule.filter(({ kind }) => kind === "in-list").length, 0);
}

/** What lets nobody through but the pod itself, in the set's place. */
export function shutSet({ id, direction, otherwise }: PolicySet): PolicySet {
  const network = { rules: [], policies: [] };
  const nothing = { admin: [], denies: [], audits: [], baseline: [], provenPorts: [] };
  return { id, direction, otherwise, network, ...nothing };
}

/** What a rule brings along costs the kernel so much more: it looks for a name that is free. */
const OWN = 3;

function sizeOf({ shared, own }: ListUse): number {
  return shared.size + OWN * own;
}

function listsOf(uses: readonly ListUse[]): number {
  const shared = new Set<string>();
  for (const use of uses) for (const name of use.shared) shared.add(name);
  return uses.reduce((sum, { own }) => sum + OWN * own, shared.size);
}
