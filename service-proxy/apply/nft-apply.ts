// Brings the kernel's tables to the plan: small atomic batches from the in-memory difference, a
// whole comparison after a failure, and a slow audit that mends what others broke. The only place
// that decides between them.

import type { Logger } from "../../lib/log/logger.ts";
import {
  type Change,
  type Family,
  NftError,
  type NftKernel,
  type TableContents,
  type Transaction,
} from "../../lib/nft/objects.ts";
import {
  ALIVE_LAPSE,
  ALIVE_RENEWAL,
  chainChanges,
  elementBatches,
  REMOVAL,
  staleChains,
  structureChanges,
  transaction,
  wholeTransaction,
} from "../plan/changes.ts";
import type { FamilyPlan } from "../plan/family-plan.ts";
import type { Chain } from "../../lib/nft/rule-parts.ts";
import { demandedChains, fixedChains, TABLE, tableSets } from "../plan/ruleset.ts";

/** What one sync did. */
export interface SyncReport {
  /** "full" compared with the kernel's contents, "partial" trusted memory. */
  readonly kind: "full" | "partial" | "nothing";
  readonly elements: number;
  readonly batches: number;
}

/** What an audit found; `drift` lists differences in words, few of them. */
export interface AuditReport {
  readonly drift: readonly string[];
}

/** Rules as the kernel told them right after we wrote them: by chain name. */
type Fingerprints = ReadonlyMap<string, readonly string[]>;

const MAXIMUM_DRIFT_LINES = 20;

/**
 * Owns the tables `innermesh` of both families. Calls must not overlap, but for those that
 * only tell the kernel something: `tellLanes`, `commitAside`.
 */
export class NftApply {
  readonly #kernel: NftKernel;
  readonly #log: Logger;
  readonly #chains = new Map<Family, Set<string>>();
  readonly #fingerprints = new Map<Family, Fingerprints>();
  /** Families whose contents must be compared before the next change. */
  readonly #unsure = new Set<Family>(["ip", "ip6"]);
  /** Families into whose rules somebody may have written before we read ours back. */
  readonly #doubtful = new Set<Family>();
  /** What `recover` read, until the first sync has used it. */
  readonly #recovered = new Map<Family, TableContents | undefined>();
  #commits = 0;
  /** What others had committed when all was as we know it: the generation without our commits. */
  #strangers: number | undefined;

  constructor(kernel: NftKernel, log: Logger) {
    this.#kernel = kernel;
    this.#log = log;
  }

  /** What an earlier run left, to recover ids from; undefined when there is no table. */
  async recover(family: Family): Promise<TableContents | undefined> {
    const contents = await this.#read(family);
    this.#recovered.set(family, contents);
    return contents;
  }

  /**
   * Applies the plans' pending differences.
   * @throws NftError when the kernel refused; the next sync then compares with the kernel
   */
  async sync(plans: readonly FamilyPlan[]): Promise<SyncReport> {
    const unsure = plans.filter((plan) => this.#unsure.has(plan.options.family));
    const sure = plans.filter((plan) => !this.#unsure.has(plan.options.family));
    const reports: SyncReport[] = [];
    for (const plan of unsure) reports.push(await this.#full(plan));
    reports.push(await this.#partial(sure));
    return reports.reduce((sum, report) => ({
      kind: sum.kind === "full" ? "full" : report.kind === "nothing" ? sum.kind : report.kind,
      elements: sum.elements + report.elements,
      batches: sum.batches + report.batches,
    }));
  }

  /**
   * Compares the kernel with what was installed and mends it. Free while nobody else has touched
   * nf_tables: the ruleset generation tells.
   * @param depth "rules" looks at rules only, which is cheap; "elements" at elements as well;
   *   "everything" also when the generation says that nothing happened
   */
  async audit(
    plans: readonly FamilyPlan[],
    depth: "rules" | "elements" | "everything",
  ): Promise<AuditReport> {
    const strangers = await this.#countStrangers();
    const isSettled = !plans.some(
      ({ options: { family } }) => this.#unsure.has(family) || this.#doubtful.has(family),
    );
    if (depth !== "everything" && isSettled && strangers === this.#strangers) {
      return { drift: [] };
    }
    const drift: string[] = [];
    for (const plan of plans) {
      const { family } = plan.options;
      if (this.#unsure.has(family)) continue;
      const isShallow = depth === "rules";
      const found = await (isShallow ? this.#driftOfRules(family) : this.#driftOf(plan));
      drift.push(...found);
      const isDoubtful = !isShallow && this.#doubtful.has(family);
      if (found.length > 0 || isDoubtful) this.#unsure.add(family);
    }
    if (depth !== "rules") this.#strangers = strangers;
    if (this.#unsure.size > 0) await this.sync(plans);
    return { drift: drift.slice(0, MAXIMUM_DRIFT_LINES) };
  }

  /**
   * Tells the lanes whether a proxy worker lives. "living" holds for three seconds; without it new
   * connections stay in the kernel lane. Audits do not take it for a stranger's commit.
   * @throws NftError, as when there is no table yet
   */
  async tellLanes(word: "living" | "dead", families: readonly Family[]): Promise<void> {
    const changes = word === "living" ? ALIVE_RENEWAL : ALIVE_LAPSE;
    await this.#commit(families.map((family) => transaction(family, changes)));
  }

  /**
   * Commits to tables of ours that no plan holds. Audits do not take it for a stranger's commit.
   * @throws NftError
   */
  commitAside(transactions: readonly Transaction[]): Promise<void> {
    return this.#commit(transactions);
  }

  async #full(plan: FamilyPlan): Promise<SyncReport> {
    const { family } = plan.options;
    const { contents, batches } = await this.#compareAndCommit(plan).catch((error: unknown) => {
      if (!(error instanceof NftError)) throw error;
      // Once may be bad luck: memory was short, or somebody wrote at the same moment.
      this.#log.info("comparing with the kernel once more", { family, cause: error.message });
      return this.#compareAndCommit(plan, "or replace");
    });
    this.#chains.set(family, new Set(namesOf(plan)));
    if (contents !== undefined) await this.#removeStale(plan, contents);
    this.#fingerprints.set(family, await this.#rulesOf(family));
    this.#unsure.delete(family);
    return { kind: "full", elements: countElements(batches), batches: batches.length };
  }

  async #compareAndCommit(
    plan: FamilyPlan,
    onRefusal: "throw" | "or replace" = "throw",
  ): Promise<{
    readonly contents: TableContents | undefined;
    readonly batches: readonly (readonly Change[])[];
  }> {
    const { family } = plan.options;
    const contents = await this.#newestContents(family);
    plan.ledger.compare(contents);
    const [first = [], ...others] = elementBatches(plan.ledger.takeDifference());
    const batches = [[...structureChanges(plan), ...first], ...others];
    try {
      for (const batch of batches) await this.#commit([transaction(family, batch)]);
    } catch (error) {
      if (!(error instanceof NftError) || onRefusal === "throw") throw error;
      // A table of another layout, or one edited beyond recognition: replaced whole, in one batch.
      // Clients lose their affinity.
      this.#log.warn("replacing the nftables table", { family, cause: error.message });
      const whole = wholeTransaction(plan);
      await this.#commit([transaction(family, [...REMOVAL, ...whole.changes])]);
    }
    return { contents, batches };
  }

  async #partial(plans: readonly FamilyPlan[]): Promise<SyncReport> {
    const small: Transaction[] = [];
    const batchesByPlan: { family: Family; batches: readonly (readonly Change[])[] }[] = [];
    const written = new Map<Family, readonly string[]>();
    let elements = 0;
    for (const plan of plans) {
      const { family } = plan.options;
      const fresh = this.#newChains(plan);
      const chains = chainChanges(fresh);
      const [first = [], ...others] = elementBatches(plan.ledger.takeDifference());
      elements += countElements([first, ...others]);
      if (fresh.length > 0)
        written.set(
          family,
          fresh.map(({ spec }) => spec.name),
        );
      if (chains.length + first.length > 0) {
        small.push(transaction(family, [...chains, ...first]));
      }
      if (others.length > 0) batchesByPlan.push({ family, batches: others });
    }
    if (small.length === 0) return { kind: "nothing", elements: 0, batches: 0 };
    let batches = 1;
    try {
      await this.#commit(small);
      for (const { family, batches: more } of batchesByPlan) {
        for (const batch of more) {
          await this.#commit([transaction(family, batch)]);
          batches++;
        }
      }
    } catch (error) {
      for (const plan of plans) this.#unsure.add(plan.options.family);
      throw error;
    }
    for (const [family, chains] of written) {
      // Only those just written: what the others hold by now may be somebody else's.
      const rules = await this.#rulesOf(family);
      const known = this.#fingerprints.get(family) ?? new Map<string, readonly string[]>();
      const fresh = chains.map((name) => [name, rules.get(name) ?? []] as const);
      this.#fingerprints.set(family, new Map([...known, ...fresh]));
    }
    return { kind: "partial", elements, batches };
  }

  /** What was read at the start is as good as new while all commits since were ours. */
  async #newestContents(family: Family): Promise<TableContents | undefined> {
    const isRecovered = this.#recovered.has(family);
    const recovered = this.#recovered.get(family);
    this.#recovered.delete(family);
    if (isRecovered && (await this.#countStrangers()) === this.#strangers) return recovered;
    return this.#read(family);
  }

  async #read(family: Family): Promise<TableContents | undefined> {
    // Once known it stays: what others did since shows as a difference.
    this.#strangers ??= await this.#countStrangers();
    return this.#kernel.read(family, TABLE);
  }

  async #commit(transactions: readonly Transaction[]): Promise<void> {
    await this.#kernel.commit(transactions);
    this.#commits++;
  }

  /** The door answers in the order in which it is asked, so a commit under way counts in both. */
  async #countStrangers(): Promise<number> {
    return (await this.#kernel.generation()) - this.#commits;
  }

  #newChains(plan: FamilyPlan): readonly Chain[] {
    const { family } = plan.options;
    const known = this.#chains.get(family) ?? new Set<string>();
    const fresh = demandedChains(plan.options, plan.demand()).filter(
      ({ spec }) => !known.has(spec.name),
    );
    for (const { spec } of fresh) known.add(spec.name);
    return fresh;
  }

  /** Reads rules back as the kernel tells them, right after they were written. */
  async #rulesOf(family: Family): Promise<Fingerprints> {
    const rules = await this.#kernel.readRules(family, TABLE);
    if ((await this.#countStrangers()) === this.#strangers) this.#doubtful.delete(family);
    else this.#doubtful.add(family);
    return rules;
  }

  /** Chains an earlier run needed. Kernels before 6.2 may say EBUSY: they stay until next time. */
  async #removeStale(plan: FamilyPlan, contents: TableContents): Promise<void> {
    const stale = staleChains(plan, contents);
    if (stale.length === 0) return;
    const flush = stale.map((chain): Change => ({ kind: "flush-chain", chain }));
    const remove = stale.map((chain): Change => ({ kind: "delete-chain", chain }));
    try {
      await this.#commit([transaction(plan.options.family, [...flush, ...remove])]);
    } catch (error) {
      if (!(error instanceof NftError)) throw error;
      this.#log.info("stale chains stay for now", { cause: error.message });
    }
  }

  async #driftOf(plan: FamilyPlan): Promise<string[]> {
    const { family } = plan.options;
    const digest = await this.#kernel.digest(family, TABLE);
    if (digest === undefined) return [`table ${family} ${TABLE} is gone`];
    const drift = this.#compareRules(family, digest.chains);
    for (const { name } of tableSets(plan.options)) {
      const actual = digest.sets.get(name);
      if (actual === undefined) drift.push(`set ${family} ${name} is gone`);
      else if (actual !== plan.ledger.digestOf(name)) drift.push(`set ${family} ${name} differs`);
    }
    return drift;
  }

  async #driftOfRules(family: Family): Promise<string[]> {
    return this.#compareRules(family, await this.#kernel.readRules(family, TABLE));
  }

  #compareRules(family: Family, chains: Fingerprints): string[] {
    const drift: string[] = [];
    const expected = this.#fingerprints.get(family) ?? new Map<string, readonly string[]>();
    for (const [chain, rules] of expected) {
      const actual = chains.get(chain);
      if (actual === undefined) drift.push(`chain ${family} ${chain} is gone`);
      else if (actual.join("\n") !== rules.join("\n"))
        drift.push(`chain ${family} ${chain} differs`);
    }
    for (const chain of chains.keys()) {
      if (!expected.has(chain)) drift.push(`chain ${family} ${chain} is not ours`);
    }
    return drift;
  }
}

function namesOf(plan: FamilyPlan): string[] {
  const chains = [...fixedChains(plan.options), ...demandedChains(plan.options, plan.demand())];
  return chains.map(({ spec }) => spec.name);
}

function countElements(batches: readonly (readonly Change[])[]): number {
  let count = 0;
  for (const batch of batches) {
    for (const change of batch) {
      if (change.kind === "add-elements") count += change.elements.length;
      else if (change.kind === "delete-elements") count += change.keys.length;
    }
  }
  return count;
}
