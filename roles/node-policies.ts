// Joins what keeps a node's policies: what holds for whom, what is told of it, and what follows
// when the kernel holds something new.

import { systemClock } from "../lib/clock/system-clock.ts";
import type { Problem } from "../lib/kube/api/parsed.ts";
import { BootGuard } from "../netpol-identity/apply/boot-guard.ts";
import type { NodeIdentity, NodeIdentityParts } from "../netpol-identity/apply/node-identity.ts";
import { NodePolicies } from "../netpol-identity/apply/node-policies.ts";
import type { PolicyApply, PolicyKernel } from "../netpol-identity/apply/policy-apply.ts";
import { policyProblem } from "../service-proxy/apply/event-reports.ts";
import type { IdentityPart } from "../service-proxy/model/identity-part.ts";
import type { NodeIdentityContext } from "./node-identity.ts";
import { openPolicyCanary } from "./policy-canary.ts";
import { resolvePolicyDomains } from "./policy-domains.ts";
import { endDeniedFlows } from "./policy-flows.ts";
import { openPolicyRecords } from "./policy-records.ts";
import { openPolicyReport, type PolicyReport } from "./policy-report.ts";

export interface NodePoliciesParts {
  readonly context: NodeIdentityContext;
  readonly door: PolicyKernel;
  readonly apply: PolicyApply;
  /** Not called before `open`. */
  readonly identity: () => NodeIdentity;
}

export interface MadePolicies {
  /** What the node's loop is to be made with. */
  readonly parts: Pick<NodeIdentityParts, "policies" | "onApplied" | "onEnforced">;
  /** To be called once the loop is made, and before it runs. */
  open(): Promise<OpenedPolicies>;
}

export interface OpenedPolicies extends Pick<PolicyReport, "onTelemetry"> {
  readonly part: Pick<IdentityPart, "gate" | "records" | "enforcement">;
  /** Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** Undefined where this node enforces none. */
export function makeNodePolicies(
  { context, door, apply, identity }: NodePoliciesParts,
  signal: AbortSignal,
): MadePolicies | undefined {
  const { nodeName, store, events, log, settings } = context;
  if (settings.networkPolicy === "none") return undefined;
  const policies = new NodePolicies({
    nodeName,
    trustDomain: settings.identity.trustDomain,
    store,
    onProblem: (problem: Problem) => events.report(policyProblem(problem)),
  });
  const all = { ...context, policies, apply, identity };
  const { onTelemetry, onEnforced, enforcement } = openPolicyReport(all);
  const flows = endDeniedFlows(all, signal);
  const domains = resolvePolicyDomains(policies, () => identity().look());
  const boot = new BootGuard({ kernel: door, clock: systemClock, log });
  const canary = openPolicyCanary({ ...all, kernel: door });
  const onApplied = (): void => {
    canary.onApplied();
    flows.request();
    domains.look();
    if (policies.network !== undefined) void boot.lift(signal);
  };
  return {
    parts: { policies, onApplied, onEnforced },
    open: async () => {
      const kept = await openPolicyRecords(all, signal);
      return {
        part: { gate: policies.gate, records: kept.records, enforcement },
        onTelemetry: (telemetry) => {
          onTelemetry(telemetry);
          kept.onTelemetry(telemetry);
        },
        run: async (end) => {
          await Promise.all([kept.run(end), flows.ended, domains.run(end), canary.run(end)]);
        },
      };
    },
  };
}
