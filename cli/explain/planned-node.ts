// What explanations are made from: one node's plan, the objects behind it, and, where the kernel
// could be asked, the ids it really has. Pure.

import type { Service } from "../../lib/kube/api/service.ts";
import type { Family, TableContents } from "../../lib/nft/objects.ts";
import type { FamilyPlan } from "../../service-proxy/plan/family-plan.ts";
import type { ServicePlan } from "../../service-proxy/plan/service-plan.ts";
import type { Snapshot } from "../snapshot.ts";

export interface PlannedNode extends Snapshot {
  /** Tables as this node's kernel has them; undefined when only the plan can be told. */
  readonly kernel: ReadonlyMap<Family, TableContents> | undefined;
}

/** One Service in one family, with what is planned for it. */
export interface PlannedService {
  readonly key: string;
  readonly service: Service;
  readonly family: FamilyPlan;
  readonly plan: ServicePlan;
}

/** @returns one for each family in which something is planned */
export function plannedService(node: PlannedNode, key: string): readonly PlannedService[] {
  const service = node.store.services.get(key);
  if (service === undefined) return [];
  return node.plan.families.flatMap((family) => {
    const plan = family.services.get(key)?.plan;
    return plan === undefined || plan.elements.length === 0 ? [] : [{ key, service, family, plan }];
  });
}

/** The sets that carry names: endpoint sets and external entry points. */
const NAMED_SETS = ["esets", "ext"];

/**
 * Tells a set's id as `nft list` on the node shows it. The plan of a process that only explains
 * counts ids anew; names are the same everywhere.
 */
export class SetIds {
  readonly #names = new Map<string, string>();
  readonly #kernelIds: ReadonlyMap<string, string> | undefined;

  constructor(plan: ServicePlan, contents: TableContents | undefined) {
    for (const { set, key, comment } of plan.elements) {
      if (NAMED_SETS.includes(set) && comment !== undefined) this.#names.set(key, comment);
    }
    if (contents === undefined) return;
    const ids = new Map<string, string>();
    for (const set of NAMED_SETS) {
      for (const { key, comment } of contents.sets.get(set)?.values() ?? []) {
        if (comment !== undefined) ids.set(comment, key);
      }
    }
    this.#kernelIds = ids;
  }

  /** @returns undefined when the kernel was asked and has no such set */
  shown(plannedId: string): string | undefined {
    if (this.#kernelIds === undefined) return plannedId;
    return this.#kernelIds.get(this.#names.get(plannedId) ?? "");
  }
}
