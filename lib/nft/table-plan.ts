// A whole table as a value, and how to bring the kernel from one such value to the next: the
// generic half of every planner that can hold its tables in memory twice.

import type { Change, Element, Family, Layer, Rule, SetSpec, Transaction } from "./objects.ts";
import type { Chain } from "./rule-parts.ts";

/** A set and all that it should hold. */
export interface PlannedSet {
  readonly spec: SetSpec;
  /** Whose addresses its fields are. */
  readonly family: Family;
  /** By key. Empty for sets whose elements go by themselves. */
  readonly elements: ReadonlyMap<string, Element>;
}

/** A chain; rules may be of one family each where the table sees frames of both. */
export interface PlannedChain {
  readonly spec: Chain["spec"];
  readonly rules: readonly { readonly family: Family; readonly rule: Rule }[];
}

export interface TablePlan {
  readonly family: Family;
  /** @default the family's own layer */
  readonly layer?: Layer;
  readonly table: string;
  readonly comment: string;
  readonly counters: readonly string[];
  readonly sets: readonly PlannedSet[];
  readonly chains: readonly PlannedChain[];
}

/** What leads from one plan to the next. */
export interface TableDifference {
  /** One batch; empty when nothing differs. */
  readonly transactions: readonly Transaction[];
  /** Chains of interfaces, to delete afterwards, one by one: they may be gone as well. */
  readonly staleChains: readonly string[];
}

/** Which table a plan is of. */
export type TablePlace = Pick<Transaction, "family" | "layer" | "table">;

/** Replaces the table, whatever there is, in one batch. */
export function wholeTable(plan: TablePlan): readonly Transaction[] {
  const empty = { ...plan, counters: [], sets: [], chains: [] };
  return [
    ...tableRemoval(plan),
    { ...placeOf(plan), changes: [{ kind: "add-table", comment: plan.comment }] },
    ...(tableDifference(empty, plan)?.transactions ?? []),
  ];
}

/** Deletes the table; works where there is none, too. */
export function tableRemoval(plan: TablePlace): readonly Transaction[] {
  return [{ ...placeOf(plan), changes: [{ kind: "add-table" }, { kind: "delete-table" }] }];
}

/**
 * What changes the table from one plan to the next. Counters go on counting.
 * @returns undefined when only replacing it will do: a set or a chain is of another kind
 */
export function tableDifference(before: TablePlan, after: TablePlan): TableDifference | undefined {
  const oldSets = new Map(before.sets.map((set) => [set.spec.name, set]));
  const oldChains = new Map(before.chains.map((chain) => [chain.spec.name, chain]));
  const batch = new TableBatch(placeOf(after));
  for (const counter of after.counters) {
    if (!before.counters.includes(counter)) {
      batch.add(after.family, { kind: "add-counter", counter });
    }
  }
  for (const { spec, family } of after.sets) {
    const old = oldSets.get(spec.name);
    if (old === undefined) batch.add(family, { kind: "add-set", set: spec });
    else if (!same(old.spec, spec) || old.family !== family) return undefined;
  }
  for (const { spec } of after.chains) {
    const old = oldChains.get(spec.name);
    if (old === undefined) batch.add(after.family, { kind: "add-chain", chain: spec });
    else if (!same(old.spec, spec)) return undefined;
  }
  for (const set of after.sets) batch.addElements(set, oldSets.get(set.spec.name)?.elements);
  for (const chain of after.chains) {
    const old = oldChains.get(chain.spec.name);
    if (same(old?.rules, chain.rules)) continue;
    if (old !== undefined) batch.add(after.family, { kind: "flush-chain", chain: old.spec.name });
    for (const { family, rule } of chain.rules) {
      batch.add(family, { kind: "add-rule", chain: chain.spec.name, rule });
    }
  }
  const staleChains = batch.removeStale(before, after);
  return { transactions: batch.transactions(), staleChains };
}

/** Changes in order, as transactions of one family each. */
class TableBatch {
  readonly #place: TablePlace;
  readonly #transactions: { readonly family: Family; readonly changes: Change[] }[] = [];

  constructor(place: TablePlace) {
    this.#place = place;
  }

  add(family: Family, change: Change): void {
    const last = this.#transactions.at(-1);
    if (last?.family === family) last.changes.push(change);
    else this.#transactions.push({ family, changes: [change] });
  }

  /** What goes, before what comes. */
  addElements(
    { spec: set, family, elements }: PlannedSet,
    before: ReadonlyMap<string, Element> = new Map(),
  ): void {
    if (before === elements) return;
    const keys = [...before.values()]
      .filter((element) => !sameElement(element, elements.get(element.key)))
      .map(({ key }) => key);
    const added = [...elements.values()].filter(
      (element) => !sameElement(element, before.get(element.key)),
    );
    if (keys.length > 0) this.add(family, { kind: "delete-elements", set, keys });
    if (added.length > 0) this.add(family, { kind: "add-elements", set, elements: added });
  }

  /**
   * Deletes chains and sets that are no more, when nothing that stays leads to them: rules first,
   * since chains lead to each other.
   * @returns chains that an interface takes along when it goes: one such refusal fails a batch
   */
  removeStale(before: TablePlan, after: TablePlan): readonly string[] {
    const [chains, sets] = [namesOf(after.chains), namesOf(after.sets)];
    const stale = before.chains.map(({ spec }) => spec).filter(({ name }) => !chains.has(name));
    const ours = stale.filter(({ base }) => base?.device === undefined);
    for (const { name } of ours) this.add(before.family, { kind: "flush-chain", chain: name });
    for (const { spec, family } of before.sets) {
      if (!sets.has(spec.name)) this.add(family, { kind: "delete-set", set: spec.name });
    }
    for (const { name } of ours) this.add(before.family, { kind: "delete-chain", chain: name });
    return stale.filter((spec) => !ours.includes(spec)).map(({ name }) => name);
  }

  transactions(): readonly Transaction[] {
    return this.#transactions.map((part) => ({ ...this.#place, ...part }));
  }
}

function placeOf({ family, layer, table }: TablePlace): TablePlace {
  return { family, table, ...(layer === undefined ? {} : { layer }) };
}

function namesOf(
  parts: readonly { readonly spec: { readonly name: string } }[],
): ReadonlySet<string> {
  return new Set(parts.map(({ spec }) => spec.name));
}

function sameElement(a: Element, b: Element | undefined): boolean {
  return b !== undefined && a.data === b.data && a.comment === b.comment;
}

/** Plain values that were made by the same code, so that their keys are in the same order. */
function same(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
