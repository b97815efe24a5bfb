// Brings a plan to the proxy workers around the kernel's commit: what is new is told before the
// kernel sends connections there, what is gone is taken back once it sends none any more.

import type { Family } from "../../lib/nft/objects.ts";
import type { ProxyClient, ProxyNode, ProxyPlanDelta } from "../model/proxy-plan.ts";
import { type LiftWorld, liftEntries } from "../plan/lift-plan.ts";
import type { LedgerDelta, ProxyLedger } from "../plan/proxy-ledger.ts";
import type { WorkerPool } from "./worker-pool.ts";

export interface LaneApplyParts {
  readonly pool: Pick<WorkerPool, "start" | "update">;
  /** What this node is, at the moment. */
  readonly node: () => ProxyNode;
  /** Pods of this node by address, at the moment. */
  readonly clients: () => ReadonlyMap<string, ProxyClient>;
  /** The kernel has the plan. */
  readonly onInstalled: () => void;
  /** Called once, before the kernel's first commit. Workers have been started, if any is needed. */
  readonly settle: () => Promise<void>;
}

/** What of a NodePlan concerns lanes. */
export interface LanePlan {
  readonly families: readonly (Parameters<typeof liftEntries>[0] & {
    readonly proxy: ProxyLedger;
  })[];
}

export class LaneApply {
  readonly #parts: LaneApplyParts;
  #plan: LanePlan | undefined;
  #isWanted = false;
  #node = "";
  #clients: ReadonlyMap<string, ProxyClient> = new Map();

  constructor(parts: LaneApplyParts) {
    this.#parts = parts;
  }

  /**
   * Starts workers although no Service needs one: once there is a plan, for until then they would
   * take connections beside those of an agent that still serves, and refuse them.
   */
  want(): void {
    this.#isWanted = true;
    if (this.#plan !== undefined) this.#parts.pool.start();
  }

  /** Resolves when workers know what is new. Starts them for the first Service that needs one. */
  async prepare(plan: LanePlan): Promise<void> {
    const isFirst = this.#plan === undefined;
    this.#plan = plan;
    const delta: ProxyPlanDelta = {
      ...this.#nodeDifference(),
      ...this.#gather((ledger) => ledger.takeFresh()),
      clients: this.#clientDifference(),
    };
    // Workers may run before any Service needs one, for identities, and outlive the last that did.
    if (!isEmpty(delta)) await this.#parts.pool.update(delta);
    const isNeeded = plan.families.some((family) => !family.proxy.isEmpty);
    if (isNeeded || this.#isWanted) this.#parts.pool.start();
    if (isFirst) await this.#parts.settle();
  }

  /** The kernel sends nothing any more to what is gone. */
  release(): void {
    this.#parts.onInstalled();
    const delta = { ...this.#gather((ledger) => ledger.takeGone()), clients: [] };
    if (!isEmpty(delta)) void this.#parts.pool.update(delta);
  }

  /** Where connections come into a lane, by family; see `liftEntries`. */
  entries(hostAddresses: readonly string[]): LiftWorld["entries"] {
    const entries: Record<Family, readonly string[]> = { ip: [], ip6: [] };
    for (const plan of this.#plan?.families ?? []) {
      entries[plan.options.family] = liftEntries(plan, hostAddresses);
    }
    return entries;
  }

  /** Everything, for a worker that starts. */
  whole(): ProxyPlanDelta {
    return {
      node: this.#parts.node(),
      ...this.#gather((ledger) => ledger.whole()),
      clients: [...this.#parts.clients()],
    };
  }

  /** The same part of both families' ledgers. */
  #gather(take: (ledger: ProxyLedger) => LedgerDelta): LedgerDelta {
    const parts = (this.#plan?.families ?? []).map(({ proxy }) => take(proxy));
    return {
      frontends: parts.flatMap(({ frontends }) => frontends),
      ports: parts.flatMap(({ ports }) => ports),
      groups: parts.flatMap(({ groups }) => groups),
    };
  }

  #nodeDifference(): Pick<ProxyPlanDelta, "node"> {
    const node = this.#parts.node();
    const text = JSON.stringify(node);
    if (text === this.#node) return {};
    this.#node = text;
    return { node };
  }

  #clientDifference(): ProxyPlanDelta["clients"] {
    const before = this.#clients;
    const after = this.#parts.clients();
    if (after === before) return [];
    this.#clients = after;
    return [
      ...[...after].filter(([address, client]) => before.get(address) !== client),
      ...[...before.keys()].filter((key) => !after.has(key)).map((key) => [key, null] as const),
    ];
  }
}

function isEmpty({ node, frontends, ports, groups, clients }: ProxyPlanDelta): boolean {
  if (node !== undefined) return false;
  return frontends.length + ports.length + groups.length + clients.length === 0;
}
