// Which recorded edges a change of policies would deny or allow.

import type { KubeObject } from "../../lib/kube/store.ts";
import { POLICY_KINDS } from "../../netpol-identity/evaluate/policy-book.ts";
import {
  rehearse,
  type RehearsedEdge,
  type RehearsedRequest,
} from "../../netpol-identity/evaluate/rehearse.ts";
import type { EdgeReport } from "../../netpol-identity/model/edge-report.ts";
import type { Snapshot } from "../snapshot.ts";
import { applyPolicies, policiesOf, type PolicyChange } from "./policy-files.ts";

export interface PolicyDiff {
  /** How many edges were looked at. */
  readonly rehearsed: number;
  readonly denied: readonly RehearsedEdge[];
  readonly allowed: readonly RehearsedEdge[];
  /** Allowed so far whatever was asked; from then on requests are looked at. */
  readonly opened: readonly RehearsedEdge[];
  /** On edges that are looked into from then on. */
  readonly requests: RequestDiff;
}

export interface RequestDiff {
  /** How many were looked at. */
  readonly rehearsed: number;
  readonly denied: readonly ChangedRequest[];
  readonly allowed: readonly ChangedRequest[];
  /** Header fields decide, which nobody recorded. */
  readonly unsure: readonly ChangedRequest[];
}

/** The edge, and one of its requests. */
export interface ChangedRequest extends Omit<RehearsedEdge, "requests"> {
  readonly request: RehearsedRequest;
}

/**
 * Puts the change into the snapshot's store and compares.
 * @throws WrongUse when what is to be removed is not there
 */
export function diffPolicies(
  { store, settings }: Snapshot,
  change: PolicyChange,
  reports: readonly EdgeReport[],
): PolicyDiff {
  const all = (): readonly KubeObject[] => POLICY_KINDS.flatMap((kind) => policiesOf(store, kind));
  const before = all();
  applyPolicies(store, change);
  const { trustDomain } = settings.identity;
  const edges = rehearse({ trustDomain, reports, cluster: store, before, after: all() });
  const changed = edges.filter((edge) => edge.before.verdict !== edge.after.verdict);
  return {
    rehearsed: edges.length,
    denied: changed.filter(({ after }) => after.verdict === "deny"),
    allowed: changed.filter(
      ({ before: was, after }) => was.verdict === "deny" || after.verdict === "allow",
    ),
    opened: changed.filter(
      ({ before: was, after }) => was.verdict === "allow" && after.verdict === "open",
    ),
    requests: diffRequests(edges.filter(({ after }) => after.verdict === "open")),
  };
}

function diffRequests(edges: readonly RehearsedEdge[]): RequestDiff {
  const all = edges.flatMap(({ requests = [], ...edge }) =>
    requests.map((request): ChangedRequest => ({ ...edge, request })),
  );
  const become = (verdict: RehearsedRequest["after"]["verdict"]): readonly ChangedRequest[] =>
    all.filter(({ request: { before, after } }) => {
      return after.verdict === verdict && before.verdict !== verdict;
    });
  return {
    rehearsed: all.length,
    denied: become("deny"),
    allowed: become("allow").filter(({ request }) => request.before.verdict === "deny"),
    unsure: become("open"),
  };
}
