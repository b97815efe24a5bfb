// What restricts a pod in calling its own node: the cluster's admin alone. NetworkPolicy never cuts
// a pod off from the node that probes it, and what is shaped like it does not either.

import { contentName } from "./content-name.ts";
import type { PolicySet } from "./policy-set.ts";

/**
 * Of a set about egress, what of it holds towards the pod's own node; undefined where nothing does.
 * Baseline rules stand back where the pod's namespace has rules of its own, as they do everywhere.
 */
export function ownNodeSet(set: Omit<PolicySet, "id">): PolicySet | undefined {
  const { direction, admin, network, account } = set;
  const isLeftToOthers = network !== undefined || account !== undefined;
  const baseline = isLeftToOthers ? [] : set.baseline;
  if (admin.length === 0 && baseline.length === 0) return undefined;
  const content = {
    direction,
    admin,
    denies: [],
    audits: [],
    baseline,
    otherwise: "open",
    provenPorts: [],
  } as const;
  return { id: contentName(JSON.stringify(["own node", content])), ...content };
}
