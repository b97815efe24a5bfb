// What a node tells of the policies that it enforces: series, and the report that the controller
// asks for.

import type { KubeStore } from "../lib/kube/store.ts";
import type { NodeMetrics } from "../lib/metrics/node-metrics.ts";
import type { NftKernel } from "../lib/nft/objects.ts";
import type { NodeIdentity } from "../netpol-identity/apply/node-identity.ts";
import type { NodePolicies } from "../netpol-identity/apply/node-policies.ts";
import type { PolicyApply } from "../netpol-identity/apply/policy-apply.ts";
import { exposePolicies } from "../netpol-identity/apply/policy-metrics.ts";
import { PolicyStats } from "../netpol-identity/apply/policy-stats.ts";
import { contentName } from "../netpol-identity/evaluate/content-name.ts";
import { formatEnforcement } from "../netpol-identity/model/enforcement-report.ts";
import type { WorkerTelemetry } from "../netpol-identity/proxy/policy-telemetry.ts";
import type { IdentityPart } from "../service-proxy/model/identity-part.ts";
import { DENIED_COUNTER } from "../service-proxy/plan/lane-gate-rules.ts";
import { TABLE } from "../service-proxy/plan/ruleset.ts";

export interface PolicyReportParts {
  readonly store: KubeStore;
  readonly kernel: Pick<NftKernel, "readCounters">;
  readonly metrics: NodeMetrics;
  readonly policies: NodePolicies;
  readonly apply: PolicyApply;
  readonly identity: () => Pick<NodeIdentity, "enforcement">;
}

export interface PolicyReport {
  readonly enforcement: NonNullable<IdentityPart["enforcement"]>;
  /** A change of policies took so long until the kernel held it. */
  readonly onEnforced: (durationMs: number) => void;
  /** What a worker counted. */
  readonly onTelemetry: (telemetry: WorkerTelemetry) => void;
}

/** Once for each process: a series has one place on the page. */
export function openPolicyReport(parts: PolicyReportParts): PolicyReport {
  const { store, kernel, metrics, policies, apply, identity } = parts;
  const stats = new PolicyStats();
  const onEnforced = exposePolicies(metrics.page, {
    store,
    network: () => policies.network,
    stats,
    denials: async () => ({ ...(await apply.denials()), lane: await laneDenials(kernel) }),
  });
  const report = (): string => formatEnforcement(identity().enforcement);
  return {
    enforcement: { report, revision: () => contentName(report()) },
    onEnforced,
    onTelemetry: ({ policy }) => {
      if (policy !== undefined) stats.add(policy);
    },
  };
}

async function laneDenials(kernel: Pick<NftKernel, "readCounters">): Promise<number> {
  const families = ["ip", "ip6"] as const;
  const counters = await Promise.all(families.map((family) => kernel.readCounters(family, TABLE)));
  return counters.reduce((sum, ofFamily) => sum + (ofFamily.get(DENIED_COUNTER) ?? 0), 0);
}
