// nf_tables without a kernel: holds tables as values, applies batches all or nothing, and is what
// `trace.ts` walks packets through. A product feature (`innermesh trace`), not only a test double;
// it passes the same contract suite as the real doors.

import {
  type ChainSpec,
  type Change,
  type Element,
  type Family,
  NftError,
  type NftKernel,
  type Rule,
  type SetSpec,
  type TableContents,
  type Transaction,
} from "./objects.ts";
import { digestTable } from "./table-digest.ts";

/** A set and its elements by key. */
export interface FakeSet {
  readonly spec: SetSpec;
  readonly elements: Map<string, Element>;
}

export interface FakeChain {
  readonly spec: ChainSpec;
  readonly rules: readonly Rule[];
}

export interface FakeTable {
  readonly family: Family;
  readonly name: string;
  readonly sets: Map<string, FakeSet>;
  readonly chains: Map<string, FakeChain>;
  /** Names: nothing passes here that they could count. */
  readonly counters: Set<string>;
}

export interface FakeKernel extends NftKernel {
  /** The live table, for traces; undefined when absent. */
  table(family: Family, name: string): FakeTable | undefined;
  /** Called before each commit with its ordinal from 1; throw to fail that commit. */
  onCommit: ((ordinal: number) => void) | undefined;
}

export function makeFakeKernel(): FakeKernel {
  let tables = new Map<string, FakeTable>();
  let generation = 0;
  let commits = 0;
  const fake: FakeKernel = {
    onCommit: undefined,
    async commit(transactions) {
      commits++;
      fake.onCommit?.(commits);
      tables = applyAll(tables, transactions);
      generation++;
    },
    async read(family, name) {
      const table = tables.get(`${family} ${name}`);
      return table === undefined ? undefined : contentsOf(table);
    },
    async digest(family, name) {
      const table = tables.get(`${family} ${name}`);
      return table === undefined ? undefined : digestTable(contentsOf(table));
    },
    async readRules(family, name, only) {
      const table = tables.get(`${family} ${name}`);
      const chains = table === undefined ? new Map() : contentsOf(table).chains;
      return only === undefined ? chains : new Map(only.map((one) => [one, chains.get(one) ?? []]));
    },
    async readCounters(place, name) {
      const table = tables.get(`${place} ${name}`);
      return new Map([...(table?.counters ?? [])].map((counter) => [counter, 0]));
    },
    generation: async () => generation,
    close: async () => {},
    table: (family, name) => tables.get(`${family} ${name}`),
  };
  return fake;
}

function applyAll(
  before: ReadonlyMap<string, FakeTable>,
  transactions: readonly Transaction[],
): Map<string, FakeTable> {
  const tables = new Map(before);
  for (const { family, layer, table: name, changes } of transactions) {
    const key = `${layer ?? family} ${name}`;
    let table = tables.get(key);
    let copied = false;
    for (const change of changes) {
      if (change.kind === "add-table") {
        table ??= { family, name, sets: new Map(), chains: new Map(), counters: new Set() };
      } else if (table === undefined) {
        throw new NftError(`${change.kind} in table "${name}"`, "ENOENT");
      } else if (change.kind === "delete-table") {
        table = undefined;
        copied = true;
      } else {
        if (!copied) table = copyTable(table);
        copied = true;
        applyChange(table, change);
      }
    }
    if (table === undefined) tables.delete(key);
    else tables.set(key, table);
  }
  return tables;
}

function copyTable(table: FakeTable): FakeTable {
  const sets = new Map<string, FakeSet>();
  for (const [name, set] of table.sets) {
    sets.set(name, { spec: set.spec, elements: new Map(set.elements) });
  }
  return { ...table, sets, chains: new Map(table.chains), counters: new Set(table.counters) };
}

type TableChange = Exclude<Change, { kind: "add-table" | "delete-table" }>;

function applyChange(table: FakeTable, change: TableChange): void {
  const fail = (what: string, code: string): never => {
    throw new NftError(`${change.kind} "${what}" in table "${table.name}"`, code);
  };
  switch (change.kind) {
    case "add-set": {
      const existing = table.sets.get(change.set.name);
      if (existing === undefined) {
        table.sets.set(change.set.name, { spec: change.set, elements: new Map() });
      } else if (!sameShape(existing.spec, change.set)) fail(change.set.name, "EEXIST");
      return;
    }
    case "delete-set":
      if (!table.sets.delete(change.set)) fail(change.set, "ENOENT");
      return;
    case "add-counter":
      table.counters.add(change.counter);
      return;
    case "add-chain":
      if (!table.chains.has(change.chain.name)) {
        table.chains.set(change.chain.name, { spec: change.chain, rules: [] });
      }
      return;
    case "flush-chain": {
      const chain = table.chains.get(change.chain) ?? fail(change.chain, "ENOENT");
      table.chains.set(change.chain, { spec: chain.spec, rules: [] });
      return;
    }
    case "delete-chain":
      if (isReferenced(table, change.chain)) fail(change.chain, "EBUSY");
      if (!table.chains.delete(change.chain)) fail(change.chain, "ENOENT");
      return;
    case "add-rule": {
      const chain = table.chains.get(change.chain) ?? fail(change.chain, "ENOENT");
      for (const name of setsOf(change.rule)) if (!table.sets.has(name)) fail(name, "ENOENT");
      for (const name of targetsOf(change.rule)) if (!table.chains.has(name)) fail(name, "ENOENT");
      table.chains.set(change.chain, { spec: chain.spec, rules: [...chain.rules, change.rule] });
      return;
    }
    case "add-elements":
      return addElements(table, change.set, change.elements, fail);
    case "delete-elements": {
      const set = table.sets.get(change.set.name) ?? fail(change.set.name, "ENOENT");
      for (const key of change.keys) if (!set.elements.delete(key)) fail(key, "ENOENT");
      return;
    }
    default:
      change satisfies never;
  }
}

function addElements(
  table: FakeTable,
  spec: SetSpec,
  elements: readonly Element[],
  fail: (what: string, code: string) => never,
): void {
  const set = table.sets.get(spec.name) ?? fail(spec.name, "ENOENT");
  for (const element of elements) {
    const existing = set.elements.get(element.key);
    if (existing !== undefined && existing.data !== element.data) fail(element.key, "EEXIST");
    const target = /^(?:goto|jump) (.+)$/.exec(element.data ?? "")?.[1];
    if (target !== undefined && !table.chains.has(target)) fail(target, "ENOENT");
    if (existing === undefined) set.elements.set(element.key, element);
  }
}

function sameShape(a: SetSpec, b: SetSpec): boolean {
  return (
    JSON.stringify([a.key, a.data, a.interval]) === JSON.stringify([b.key, b.data, b.interval])
  );
}

function setsOf(rule: Rule): string[] {
  return rule.flatMap((s) => ("map" in s ? [s.map] : s.kind === "in-set" ? [s.set] : []));
}

function targetsOf(rule: Rule): string[] {
  return rule.flatMap((s) =>
    s.kind === "verdict" && "chain" in s.verdict ? [s.verdict.chain] : [],
  );
}

function isReferenced(table: FakeTable, chain: string): boolean {
  for (const { rules } of table.chains.values()) {
    if (rules.some((rule) => targetsOf(rule).includes(chain))) return true;
  }
  for (const { elements } of table.sets.values()) {
    for (const { data } of elements.values()) {
      if (data === `goto ${chain}` || data === `jump ${chain}`) return true;
    }
  }
  return false;
}

function contentsOf(table: FakeTable): TableContents {
  const sets = new Map<string, ReadonlyMap<string, Element>>();
  for (const [name, set] of table.sets) {
    const isVolatile = (set.spec.dynamic ?? set.spec.timeoutSeconds) !== undefined;
    sets.set(name, isVolatile ? new Map() : new Map(set.elements));
  }
  const chains = new Map<string, readonly string[]>();
  for (const [name, { rules }] of table.chains) {
    chains.set(
      name,
      rules.map((rule) => JSON.stringify(rule)),
    );
  }
  return { sets, chains };
}
