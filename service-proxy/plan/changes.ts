// Differences → transactions for the kernel, in an order that never leaves a Service half way.

import type { Change, Element, Family, TableContents, Transaction } from "../../lib/nft/objects.ts";
import type { Difference } from "./element-ledger.ts";
import type { FamilyPlan } from "./family-plan.ts";
import { DENIED_COUNTER } from "./lane-gate-rules.ts";
import type { Chain } from "../../lib/nft/rule-parts.ts";
import { demandedChains, fixedChains, setSpec, TABLE, tableSets } from "./ruleset.ts";

/**
 * Fresh elements go in batches of this size, so that one commit does not hold nf_tables' lock
 * for long. Everything that alters what is already installed stays in one last batch.
 */
export const MAXIMUM_BATCH_ELEMENTS = 50_000;

/** Sets by how they point at each other: an element only ever refers to sets before its own. */
const LEAVES_FIRST = [
  "local-pods",
  "service-cidrs",
  "nodeport-ips",
  "hairpin",
  "lb-allow",
  "endpoints",
  "aff-ep",
  "aff-live",
  "aff-choice",
  "esets",
  "cluster-of",
  "local-of",
  "ext",
  "vips",
  "nodeports",
  "lane-ranged",
  "lane-pods",
  "lane-allow",
  "lane-allow-blocks",
  "lane-guarded",
  "lane-host-denied",
  "lane-isolated",
  "lane-vips",
  "lane-nodeports",
  "cluster-ips",
];

const GATE_COUNTERS: readonly Change[] = [{ kind: "add-counter", counter: DENIED_COUNTER }];

/** Creates the table where it is missing, and writes all rules anew without touching elements. */
export function structureChanges(plan: FamilyPlan): readonly Change[] {
  const chains = [...fixedChains(plan.options), ...demandedChains(plan.options, plan.demand())];
  return [
    { kind: "add-table", comment: "Innermesh: Services of this node" },
    ...tableSets(plan.options).map((set): Change => ({ kind: "add-set", set })),
    ...(plan.options.gated === true ? GATE_COUNTERS : []),
    ...chains.map(({ spec }): Change => ({ kind: "add-chain", chain: spec })),
    ...chains.flatMap(rewrite),
  ];
}

/** Chains that elements need and the kernel may lack; adding one that exists changes nothing. */
export function chainChanges(chains: readonly Chain[]): readonly Change[] {
  return [
    ...chains.map(({ spec }): Change => ({ kind: "add-chain", chain: spec })),
    ...chains.flatMap(rewrite),
  ];
}

/** The element that says a proxy worker lives; it goes by itself. */
const ALIVE = { set: setSpec("alive"), keys: ["tcp"] } as const;
const ADD_ALIVE: Change = { kind: "add-elements", set: ALIVE.set, elements: [{ key: "tcp" }] };
const DELETE_ALIVE: Change = { kind: "delete-elements", ...ALIVE };

/** Says anew that a proxy worker lives, whether or not the last word still stood. */
export const ALIVE_RENEWAL: readonly Change[] = [ADD_ALIVE, DELETE_ALIVE, ADD_ALIVE];

/** Says that none lives, whether or not the last word still stood. */
export const ALIVE_LAPSE: readonly Change[] = [ADD_ALIVE, DELETE_ALIVE];

/** Deletes the table; works where there is none, too. */
export const REMOVAL: readonly Change[] = [{ kind: "add-table" }, { kind: "delete-table" }];

/**
 * Turns a difference into element changes: what goes, before what comes.
 * @returns one list for each batch; all but the last only add elements nothing points at yet, so
 *   that every Service is old or new at each boundary
 */
export function elementBatches(
  difference: Difference,
  maximum = MAXIMUM_BATCH_ELEMENTS,
): readonly (readonly Change[])[] {
  const fresh: { readonly set: string; readonly elements: Element[] }[] = [];
  const removals: Change[] = [];
  const replacements: Change[] = [];
  let total = 0;
  for (const name of LEAVES_FIRST) {
    const added: Element[] = [];
    const replaced: Element[] = [];
    const removed: string[] = [];
    for (const [key, { before, after }] of difference.get(name) ?? []) {
      total++;
      if (before !== undefined) removed.push(key);
      if (after !== undefined) (before === undefined ? added : replaced).push(after);
    }
    const set = setSpec(name);
    // A new prefix may overlap one that goes: the kernel wants that one gone first.
    const afterRemoval = set.interval === true && removed.length > 0;
    if (afterRemoval) replaced.push(...added);
    else if (added.length > 0) fresh.push({ set: name, elements: added });
    if (removed.length > 0) removals.unshift({ kind: "delete-elements", set, keys: removed });
    if (replaced.length > 0) replacements.push({ kind: "add-elements", set, elements: replaced });
  }
  const additions = total <= maximum ? [fresh] : cut(fresh, maximum);
  const batches = additions.map((batch) =>
    batch.map(
      ({ set, elements }): Change => ({ kind: "add-elements", set: setSpec(set), elements }),
    ),
  );
  const last = [...removals, ...replacements];
  if (batches.length === 1) return [[...removals, ...(batches[0] ?? []), ...replacements]];
  return last.length === 0 ? batches : [...batches, last];
}

/** Chains of ours that the plan no longer has; to be deleted once no element points at them. */
export function staleChains(plan: FamilyPlan, contents: TableContents): readonly string[] {
  const wanted = new Set(
    [...fixedChains(plan.options), ...demandedChains(plan.options, plan.demand())].map(
      ({ spec }) => spec.name,
    ),
  );
  return [...contents.chains.keys()].filter((name) => !wanted.has(name));
}

/** The whole plan as one transaction for an empty kernel; what `innermesh plan` prints. */
export function wholeTransaction(plan: FamilyPlan): Transaction {
  const elements: Change[] = [];
  for (const name of LEAVES_FIRST) {
    const wanted = plan.ledger.wanted.get(name);
    if (wanted === undefined || wanted.size === 0) continue;
    elements.push({ kind: "add-elements", set: setSpec(name), elements: [...wanted.values()] });
  }
  return transaction(plan.options.family, [...structureChanges(plan), ...elements]);
}

export function transaction(family: Family, changes: readonly Change[]): Transaction {
  return { family, table: TABLE, changes };
}

function rewrite({ spec, rules }: Chain): Change[] {
  return [
    { kind: "flush-chain", chain: spec.name },
    ...rules.map((rule): Change => ({ kind: "add-rule", chain: spec.name, rule })),
  ];
}

function cut(
  lists: readonly { readonly set: string; readonly elements: readonly Element[] }[],
  maximum: number,
): { readonly set: string; readonly elements: readonly Element[] }[][] {
  const batches: { set: string; elements: readonly Element[] }[][] = [];
  let batch: { set: string; elements: readonly Element[] }[] = [];
  let room = maximum;
  for (const { set, elements } of lists) {
    for (let start = 0; start < elements.length; ) {
      const part = elements.slice(start, start + room);
      batch.push({ set, elements: part });
      start += part.length;
      room -= part.length;
      if (room > 0) continue;
      batches.push(batch);
      batch = [];
      room = maximum;
    }
  }
  if (batch.length > 0) batches.push(batch);
  return batches.length === 0 ? [[]] : batches;
}
