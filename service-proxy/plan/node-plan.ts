// The plan of a whole node: one FamilyPlan for each family, fed from the store's changes.

import type { KubeStore, Problem, StoreChanges } from "../../lib/kube/store.ts";
import type { Family, TableContents } from "../../lib/nft/objects.ts";
import {
  familyFacts,
  type NodeSituation,
  rulesetOptions,
  type TableSettings,
} from "./family-facts.ts";
import { FamilyPlan } from "./family-plan.ts";
import { LaneBook, type LaneSource } from "./lane-book.ts";

/** What a NodePlan reads of a store. */
export type PlanSource = Pick<KubeStore, "services" | "slicesOf" | "nodes" | "serviceCidrs"> &
  LaneSource;

export interface NodePlanOptions {
  /** @default both */
  readonly families?: readonly Family[];
  /** Addresses of the cluster's other nodes; no Service may claim them. @default none */
  readonly otherNodes?: readonly string[];
}

/** The Service whose endpoints are the API servers. */
const API_SERVICE = "default/kubernetes";

export class NodePlan {
  readonly families: readonly FamilyPlan[];
  readonly lanes: LaneBook;
  readonly #settings: TableSettings;

  /**
   * Plans everything the store holds.
   * @param recovered what an earlier run left in the kernel, by family
   */
  constructor(
    settings: TableSettings,
    source: PlanSource,
    hostAddresses: readonly string[],
    recovered: ReadonlyMap<Family, TableContents>,
    { families = ["ip", "ip6"], otherNodes = [] }: NodePlanOptions = {},
  ) {
    this.#settings = settings;
    this.lanes = new LaneBook(settings);
    this.lanes.update(source);
    const situation = situationOf(settings, source, { hostAddresses, otherNodes });
    this.families = families.map(
      (family) =>
        new FamilyPlan(
          rulesetOptions(settings, family),
          familyFacts(settings, situation, family),
          recovered.get(family),
          this.lanes.laneOf,
          settings.gate,
        ),
    );
    for (const plan of this.families) planServices(plan, source, source.services.keys());
  }

  /** Plans again what changed, and everything where the node itself moved. */
  update(
    source: PlanSource,
    changes: StoreChanges,
    hostAddresses: readonly string[],
    otherNodes: readonly string[] = [],
  ): void {
    const situation = situationOf(this.#settings, source, { hostAddresses, otherNodes });
    const rerouted = [...this.lanes.update(source, changes)];
    for (const plan of this.families) {
      const facts = familyFacts(this.#settings, situation, plan.options.family);
      const moved = [...plan.setFacts(facts)];
      planServices(plan, source, [...moved, ...rerouted, ...changes.services]);
    }
  }

  problems(): Problem[] {
    return [...this.lanes.problems(), ...this.families.flatMap((plan) => plan.problems())];
  }
}

function planServices(plan: FamilyPlan, source: PlanSource, keys: Iterable<string>): void {
  const queue = new Set(keys);
  const planned = new Map<string, number>();
  for (const key of queue) {
    queue.delete(key);
    const again = plan.plan(key, source.services.get(key), source.slicesOf(key));
    for (const other of again) {
      const times = planned.get(other) ?? 0;
      // Two Services that claim each other's ClusterIP would go on for ever.
      if (times < 2) queue.add(other);
      planned.set(other, times + 1);
    }
  }
}

function situationOf(
  settings: TableSettings,
  source: PlanSource,
  addresses: Pick<NodeSituation, "hostAddresses" | "otherNodes">,
): NodeSituation {
  const apiServerAddresses: string[] = [...settings.apiServerAddresses];
  for (const slice of source.slicesOf(API_SERVICE).values()) {
    for (const { address } of slice.endpoints) apiServerAddresses.push(address);
  }
  return {
    node: source.nodes.get(settings.nodeName),
    ...addresses,
    serviceCidrs: [...source.serviceCidrs.values()].flatMap(({ cidrs }) => cidrs),
    podCidrs: [...source.nodes.values()].flatMap(({ podCIDRs }) => podCIDRs),
    apiServerAddresses,
  };
}
