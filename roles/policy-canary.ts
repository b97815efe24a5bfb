// Joins the canary, which attacks this node's own pods, to what it attacks and to who hears of it.

import { systemClock } from "../lib/clock/system-clock.ts";
import type { Logger } from "../lib/log/logger.ts";
import { collectCounter, collectGauge } from "../lib/metrics/collected-series.ts";
import type { NodeMetrics } from "../lib/metrics/node-metrics.ts";
import { policySeries } from "../lib/metrics/policy-series.ts";
import { removeDetour } from "../lib/netlink/detour.ts";
import { Canary } from "../netpol-identity/apply/canary.ts";
import { CANARY_LINKS, CanaryAttacker } from "../netpol-identity/apply/canary-attacker.ts";
import type { NodeIdentity } from "../netpol-identity/apply/node-identity.ts";
import type { NodePolicies } from "../netpol-identity/apply/node-policies.ts";
import type { PolicyKernel } from "../netpol-identity/apply/policy-apply.ts";
import type { CanaryWorld } from "../netpol-identity/plan/canary-targets.ts";
import type { NetworkWorld } from "../netpol-identity/plan/network-world.ts";
import { POLICY_TABLE } from "../netpol-identity/plan/policy-table-parts.ts";
import { enforcementBroken } from "../service-proxy/apply/event-reports.ts";
import type { EventSink } from "../service-proxy/apply/events.ts";

export interface PolicyCanaryContext {
  readonly nodeName: string;
  readonly settings: { readonly policyCanary: boolean };
  readonly metrics: NodeMetrics;
  readonly events: EventSink;
  readonly log: Logger;
  /** Resolves when this agent alone writes the node's tables. */
  readonly held: Promise<void>;
  readonly kernel: Pick<PolicyKernel, "readCounters">;
  readonly policies: NodePolicies;
  readonly identity: () => Pick<NodeIdentity, "state">;
}

export interface PolicyCanary {
  /** The kernel holds what is known now. */
  onApplied(): void;
  /** Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** Where it is not wanted, it takes away what an earlier one left. */
export function openPolicyCanary(context: PolicyCanaryContext): PolicyCanary {
  const { settings, log, held } = context;
  const removeLinks = (): void => {
    try {
      removeDetour(CANARY_LINKS);
    } catch (error) {
      log.warn("cannot remove the canary's links", { error });
    }
  };
  if (!settings.policyCanary) {
    void held.then(removeLinks);
    return { onApplied: () => {}, run: () => Promise.resolve() };
  }
  const { nodeName, events, kernel, policies, identity } = context;
  const attacker = new CanaryAttacker();
  let applied = policies.network;
  const canary = new Canary({
    world: () => applied && worldOf(applied, policies, identity().state),
    attack: (...asked) => attacker.attack(...asked),
    dropped: (family) => kernel.readCounters(family, POLICY_TABLE),
    clock: systemClock,
    log,
    onBroken: (attack) => events.report(enforcementBroken(nodeName, attack)),
  });
  expose(context.metrics, canary);
  return {
    onApplied: () => {
      applied = policies.network;
    },
    run: (signal) => canary.run(signal).then(removeLinks),
  };
}

function worldOf(
  { pods }: NetworkWorld,
  { index: { groups } }: NodePolicies,
  { workloads, kernel }: NodeIdentity["state"],
): CanaryWorld {
  const bound = new Set(kernel.bindings.map(({ address }) => address));
  const strict = [...bound].filter((address) => workloads.get(address)?.mode === "strict");
  return { pods, groups, bound, strict };
}

function expose({ page }: NodeMetrics, canary: Canary): void {
  collectGauge(page, policySeries.provenAge, () =>
    Array.from(canary.agesMs, ([attack, ageMs]) => ({ labels: { attack }, value: ageMs / 1_000 })),
  );
  collectCounter(page, policySeries.canaryFailures, () =>
    Array.from(canary.failures, ([attack, value]) => ({ labels: { attack }, value })),
  );
}
