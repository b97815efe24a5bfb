// Brings the kernel's policy tables to the plan: one atomic batch from the difference to what was
// installed, the whole tables anew at the start, after a refusal, and when an audit finds drift.

import type { Logger } from "../../lib/log/logger.ts";
import { digestOf } from "../../lib/nft/digest.ts";
import { type Change, NftError, type NftKernel, type Transaction } from "../../lib/nft/objects.ts";
import {
  type TableDifference,
  type TablePlan,
  tableDifference,
  wholeTable,
} from "../../lib/nft/table-plan.ts";
import { DENIED_COUNTERS } from "../plan/network-tables.ts";
import { ALIVE_SET } from "../plan/policy-table.ts";
import { COUNTERS, POLICY_TABLE } from "../plan/policy-table-parts.ts";

/** What this class needs of the door to nf_tables. */
export type PolicyKernel = Pick<
  NftKernel,
  "commit" | "digest" | "readRules" | "readCounters" | "generation"
>;

/** Packets that policies denied since the tables were made. */
export type DenialCounts = Readonly<Record<keyof typeof DENIED_COUNTERS, number>>;

/** Packets that were dropped since the tables were made. */
export interface PolicyCounts {
  readonly spoofed: number;
  readonly closed: number;
}

const ADD_ALIVE: Change = { kind: "add-elements", set: ALIVE_SET, elements: [{ key: "tcp" }] };
const DELETE_ALIVE: Change = { kind: "delete-elements", set: ALIVE_SET, keys: ["tcp"] };
const FAMILIES = ["ip", "ip6"] as const;
const PLACES = ["ip", "ip6", "netdev", "bridge"] as const;

type Place = (typeof PLACES)[number];

interface Installed {
  readonly tables: readonly TablePlan[];
  /** By place: rules as the kernel told them right after they were written. */
  readonly rules: ReadonlyMap<Place, Map<string, readonly string[]>>;
}

/** Owns the tables `innermesh-policy`. Calls that change them take their turns. */
export class PolicyApply {
  readonly #kernel: PolicyKernel;
  readonly #log: Logger;
  /** Undefined when not known: then all is written anew. */
  #installed: Installed | undefined;
  /** Chains that were written and not read back since. */
  readonly #unread = new Map<Place, Set<string>>();
  #word: "living" | "dead" = "dead";
  #turn: Promise<unknown> = Promise.resolve();
  #commits = 0;
  /** What others had committed when all was as we know it. */
  #strangers: number | undefined;

  constructor(kernel: PolicyKernel, log: Logger) {
    this.#kernel = kernel;
    this.#log = log;
  }

  /**
   * Applies the tables. What the kernel made of them is read back after, for audits.
   * @throws NftError when the kernel refused; what was there stays, the next call writes all anew
   */
  async apply(tables: readonly TablePlan[]): Promise<void> {
    await this.#inTurn(() => this.#apply(tables));
    void this.#inTurn(() => this.#readBack()).catch((error: unknown) => {
      this.#log.debug("cannot read back the policy tables yet", { error });
    });
  }

  /**
   * Says whether a worker lives; "living" holds for three seconds. Calls to permissive pods go
   * past dead workers in plaintext, those to strict ones fail.
   * @throws NftError
   */
  async tell(word: "living" | "dead"): Promise<void> {
    this.#word = word;
    if (this.#installed === undefined) return;
    const changes =
      word === "living" ? [ADD_ALIVE, DELETE_ALIVE, ADD_ALIVE] : [ADD_ALIVE, DELETE_ALIVE];
    await this.#commit(aliveTransactions(changes));
  }

  /**
   * Compares the kernel with what was installed, and mends it. Costs one question while nobody else
   * touched nf_tables.
   * @returns what differed, in words
   * @throws NftError
   */
  audit(): Promise<readonly string[]> {
    return this.#inTurn(() => this.#audit());
  }

  /** @throws NftError */
  async counts(): Promise<PolicyCounts> {
    const sums = { spoofed: 0, closed: 0 };
    for (const place of PLACES) {
      const counters = await this.#kernel.readCounters(place, POLICY_TABLE);
      sums.spoofed += counters.get(COUNTERS.spoofed) ?? 0;
      sums.closed += counters.get(COUNTERS.closed) ?? 0;
    }
    return sums;
  }

  /** @throws NftError */
  async denials(): Promise<DenialCounts> {
    const sums = { in: 0, out: 0, proven: 0, held: 0, ended: 0 };
    const names = Object.keys(sums) as (keyof typeof sums)[];
    for (const family of FAMILIES) {
      const counters = await this.#kernel.readCounters(family, POLICY_TABLE);
      for (const name of names) sums[name] += counters.get(DENIED_COUNTERS[name]) ?? 0;
    }
    return sums;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  async #apply(tables: readonly TablePlan[]): Promise<void> {
    if (await this.#applyDifference(tables)) return;
    this.#installed = undefined;
    await this.#commit([...tables.flatMap(wholeTable), ...this.#aliveAgain()]);
    this.#installed = { tables, rules: new Map(PLACES.map((place) => [place, new Map()])) };
    this.#unread.clear();
    for (const table of tables) {
      this.#unread.set(placeOf(table), new Set(table.chains.map(({ spec }) => spec.name)));
    }
  }

  async #audit(): Promise<readonly string[]> {
    const installed = this.#installed;
    if (installed === undefined) return [];
    await this.#readBack();
    const strangers = await this.#countStrangers();
    if (strangers === this.#strangers) return [];
    const drift: string[] = [];
    for (const table of installed.tables) drift.push(...(await this.#driftOf(table, installed)));
    this.#strangers = strangers;
    if (drift.length > 0) {
      this.#installed = undefined;
      await this.#apply(installed.tables);
    }
    return drift;
  }

  /** False when all must be written anew. */
  async #applyDifference(tables: readonly TablePlan[]): Promise<boolean> {
    if (this.#installed === undefined) return false;
    const before = new Map(this.#installed.tables.map((table) => [placeOf(table), table]));
    const differences = tables.map((table) => {
      const old = before.get(placeOf(table));
      return old === undefined ? undefined : tableDifference(old, table);
    });
    if (differences.some((difference) => difference === undefined)) return false;
    const known = differences.filter((difference) => difference !== undefined);
    const transactions = known.flatMap((difference) => difference.transactions);
    const stale = known.some(({ staleChains }) => staleChains.length > 0);
    if (transactions.length === 0 && !stale) return true;
    try {
      if (transactions.length > 0) await this.#commit(transactions);
    } catch (error) {
      if (!(error instanceof NftError)) throw error;
      this.#log.info("writing the policy tables anew", { cause: error.message });
      return false;
    }
    for (const [i, { staleChains }] of known.entries()) {
      for (const chain of staleChains) await this.#deleteChain(tables[i], chain);
    }
    this.#installed = { ...this.#installed, tables };
    for (const [i, table] of tables.entries()) this.#noteWritten(placeOf(table), known[i]);
    return true;
  }

  /** The chain of a link that is gone may be gone with it. */
  async #deleteChain(table: TablePlan | undefined, chain: string): Promise<void> {
    if (table === undefined) return;
    const { family, layer, table: name } = table;
    const place = { family, table: name, ...(layer === undefined ? {} : { layer }) };
    const changes = [
      { kind: "flush-chain", chain },
      { kind: "delete-chain", chain },
    ] as const;
    try {
      await this.#commit([{ ...place, changes }]);
    } catch (error) {
      if (!(error instanceof NftError)) throw error;
      if (error.code !== "ENOENT") this.#log.info("a chain stays", { cause: error.message });
    }
  }

  #noteWritten(place: Place, difference: TableDifference | undefined): void {
    const unread = this.#unread.get(place) ?? new Set();
    const forget = (chain: string): void => {
      unread.delete(chain);
      this.#installed?.rules.get(place)?.delete(chain);
    };
    for (const { changes } of difference?.transactions ?? []) {
      for (const change of changes) {
        if (change.kind === "delete-chain") forget(change.chain);
        else if (change.kind === "add-chain") unread.add(change.chain.name);
        else if (change.kind === "flush-chain" || change.kind === "add-rule") {
          unread.add(change.chain);
        }
      }
    }
    for (const chain of difference?.staleChains ?? []) forget(chain);
    this.#unread.set(place, unread);
  }

  /** Chains of which the kernel has another number of rules than were written are drift. */
  async #readBack(): Promise<void> {
    for (const [place, chains] of this.#unread) {
      if (this.#installed === undefined || chains.size === 0) continue;
      const told = await this.#kernel.readRules(place, POLICY_TABLE, [...chains]);
      const { tables, rules } = this.#installed;
      for (const { spec, rules: written } of tables.find(isAt(place))?.chains ?? []) {
        if (!chains.has(spec.name)) continue;
        const found = told.get(spec.name) ?? [];
        const isOurs = found.length === written.length;
        rules.get(place)?.set(spec.name, isOurs ? found : ["another number of rules"]);
      }
      chains.clear();
    }
  }

  #aliveAgain(): readonly Transaction[] {
    return this.#word === "living" ? aliveTransactions([ADD_ALIVE]) : [];
  }

  async #driftOf(table: TablePlan, { rules }: Installed): Promise<readonly string[]> {
    const place = placeOf(table);
    const digest = await this.#kernel.digest(place, table.table);
    if (digest === undefined) return [`table ${place} ${table.table} is gone`];
    const expected = rules.get(place) ?? new Map<string, readonly string[]>();
    const chains = [...new Set([...expected.keys(), ...digest.chains.keys()])];
    const differs = (chain: string): boolean =>
      expected.get(chain)?.join("\n") !== digest.chains.get(chain)?.join("\n");
    return [
      ...chains.filter(differs).map((chain) => `chain ${place} ${chain} differs`),
      ...table.sets
        .filter(({ spec, elements }) => digest.sets.get(spec.name) !== digestOf(elements.values()))
        .map(({ spec }) => `set ${place} ${spec.name} differs`),
    ];
  }

  async #commit(transactions: readonly Transaction[]): Promise<void> {
    this.#strangers ??= await this.#countStrangers();
    await this.#kernel.commit(transactions);
    this.#commits++;
  }

  async #countStrangers(): Promise<number> {
    return (await this.#kernel.generation()) - this.#commits;
  }
}

function isAt(place: Place): (table: TablePlan) => boolean {
  return (table) => placeOf(table) === place;
}

function placeOf({ family, layer }: TablePlan): Place {
  return layer ?? family;
}

function aliveTransactions(changes: readonly Change[]): readonly Transaction[] {
  return FAMILIES.map((family) => ({ family, table: POLICY_TABLE, changes }));
}
