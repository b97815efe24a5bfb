// All checks, in the order in which people read them, and their judgement.

import type { Facts } from "./facts.ts";
import { AGENT_CHECKS } from "./judge-agent.ts";
import { CLUSTER_CHECKS } from "./judge-cluster.ts";
import { IDENTITY_CHECKS } from "./judge-identity.ts";
import { KERNEL_CHECKS } from "./judge-kernel.ts";
import { LANE_CHECKS } from "./judge-lane.ts";
import { LIMIT_CHECKS } from "./judge-limits.ts";
import { NODE_CHECKS } from "./judge-node.ts";
import { POLICY_CHECKS } from "./judge-policy.ts";
import type { Check, Status, Verdict } from "./verdict.ts";

export const CHECKS: readonly Check[] = [
  ...KERNEL_CHECKS,
  ...NODE_CHECKS,
  ...LIMIT_CHECKS,
  ...CLUSTER_CHECKS,
  ...AGENT_CHECKS,
  ...LANE_CHECKS,
  ...IDENTITY_CHECKS,
  ...POLICY_CHECKS,
];

export interface CheckResult extends Verdict {
  readonly id: string;
  /** The part of `id` in front of its dot. */
  readonly category: string;
}

export interface CheckReport {
  readonly node: string;
  readonly results: readonly CheckResult[];
  readonly totals: Readonly<Record<Status, number>>;
}

export function judge(facts: Facts): CheckReport {
  const checks = CHECKS.filter(({ appliesTo }) => appliesTo?.(facts) ?? true);
  const results = checks.map(
    (check): CheckResult => ({
      id: check.id,
      category: check.id.split(".")[0] ?? "",
      ...check.judge(facts),
    }),
  );
  const count = (status: Status): number =>
    results.filter((result) => result.status === status).length;
  const totals = { ok: count("ok"), warn: count("warn"), fail: count("fail"), skip: count("skip") };
  return { node: facts.nodeName, results, totals };
}

/** 0 fine, 1 something fails, 3 neither the kernel nor the cluster could be asked. */
export function exitCodeOf(facts: Facts, report: CheckReport): 0 | 1 | 3 {
  const { kernel, cluster } = facts;
  if (kernel.generation.kind === "unknown" && cluster.objects.kind === "unknown") return 3;
  return report.totals.fail > 0 ? 1 : 0;
}
