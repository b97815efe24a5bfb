// In words, what a table in the kernel has other than its plan. Pure.

import type { TableContents } from "../../lib/nft/objects.ts";
import type { FamilyPlan } from "../../service-proxy/plan/family-plan.ts";
import { demandedChains, fixedChains } from "../../service-proxy/plan/ruleset.ts";

/** Chains that an earlier demand left: the agent removes them in its own time. */
const LEFT_OVER = /^(?:mod|aff|aff-use)-\d+$/;

/**
 * Compares elements, and chains by their number of rules: what a rule says, only the process that
 * wrote it can tell apart.
 * @param plan made with ids recovered from `contents`
 */
export function tableDifferences(plan: FamilyPlan, contents: TableContents): readonly string[] {
  return [...chainDifferences(plan, contents), ...elementDifferences(plan, contents)];
}

function chainDifferences(plan: FamilyPlan, contents: TableContents): readonly string[] {
  const { family } = plan.options;
  const chains = [...fixedChains(plan.options), ...demandedChains(plan.options, plan.demand())];
  const names = new Set(chains.map(({ spec }) => spec.name));
  const strange = [...contents.chains.keys()].filter(
    (name) => !names.has(name) && !LEFT_OVER.test(name),
  );
  return [
    ...chains.flatMap(({ spec, rules }) => {
      const found = contents.chains.get(spec.name);
      if (found === undefined) return [`chain ${family} ${spec.name} is missing`];
      if (found.length === rules.length) return [];
      return [`chain ${family} ${spec.name} has ${found.length} rules instead of ${rules.length}`];
    }),
    ...strange.map((name) => `chain ${family} ${name} is not ours`),
  ];
}

function elementDifferences(plan: FamilyPlan, contents: TableContents): readonly string[] {
  const { family } = plan.options;
  plan.ledger.compare(contents);
  return [...plan.ledger.takeDifference()].flatMap(([set, keys]) =>
    [...keys].map(([key, { before, after }]) => {
      const verb =
        before === undefined ? "lacks" : after === undefined ? "has extra" : "differs in";
      return `set ${family} ${set} ${verb} ${key}`;
    }),
  );
}
