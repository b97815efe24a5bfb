// Remembers which sets hold intervals. A rule names a set only, but its program depends on that:
// numbers are compared in network order there.

import { isHostNumber } from "./encode-key.ts";
import type { Family, Rule, Transaction } from "./objects.ts";

/** Sets by family, table and name. */
export class SetRegistry {
  readonly #isInterval: Map<string, boolean>;

  constructor(other?: SetRegistry) {
    this.#isInterval = new Map(other === undefined ? [] : other.#isInterval);
  }

  /** Undefined when the set was never seen. */
  isInterval(family: Family, table: string, set: string): boolean | undefined {
    return this.#isInterval.get(`${family} ${table} ${set}`);
  }

  remember(family: Family, table: string, set: string, isInterval: boolean): void {
    this.#isInterval.set(`${family} ${table} ${set}`, isInterval);
  }
}

/** The set a rule looks up with a number in its key, for each statement that does so. */
export function setsWithNumbers(rule: Rule): string[] {
  return rule.flatMap((statement) => {
    // A list is made together with its rule.
    if (!("key" in statement) || statement.kind === "in-list") return [];
    if (!statement.key.some(isHostNumber)) return [];
    return [statement.kind === "in-set" ? statement.set : statement.map];
  });
}

/** Tables with rules whose sets neither these transactions nor the registry know. */
export function tablesToLearn(
  registry: SetRegistry,
  transactions: readonly Transaction[],
): { readonly family: Family; readonly table: string }[] {
  return transactions.filter(({ family, table, changes }) => {
    const made = new Set(
      changes.flatMap((change) => (change.kind === "add-set" ? [change.set.name] : [])),
    );
    return changes.some(
      (change) =>
        change.kind === "add-rule" &&
        setsWithNumbers(change.rule).some(
          (set) => !made.has(set) && registry.isInterval(family, table, set) === undefined,
        ),
    );
  });
}
