// Policies of a small cluster for tests: pods of this node and of another, and sets of which each
// says one thing.

import type { PolicySet, SetRule } from "../evaluate/policy-set.ts";
import { sampleSet } from "../evaluate/sample-set.ts";
import type { Direction } from "../model/policy.ts";
import type { PolicyPlanDelta, PolicyPod } from "../plan/policy-plan.ts";

export const WEB = "spiffe://cluster.local/ns/shop/sa/web";
export const DB = "spiffe://cluster.local/ns/shop/sa/db";
/** Of this node. */
export const LOCAL_WEB = "10.1.0.1";
export const LOCAL_DB = "10.1.0.2";
/** Of another. */
export const FAR_WEB = "10.2.0.1";
export const FAR_DB = "10.2.0.2";

/** A pod with it takes, or makes, only what the rules allow. */
export function sampleIsolation(
  id: string,
  direction: Direction,
  rules: readonly SetRule[],
  more: Partial<PolicySet> = {},
): PolicySet {
  const network = { rules, policies: [`NetworkPolicy shop/${id}`] };
  return sampleSet({ id, direction, network, ...more });
}

export interface SamplePolicies {
  readonly sets?: readonly PolicySet[];
  readonly addresses?: Readonly<Record<string, readonly string[]>>;
  readonly identities?: Readonly<Record<string, readonly string[]>>;
  /** Beside who the pods are. */
  readonly pods?: Readonly<Record<string, Partial<PolicyPod>>>;
}

/** All four pods, and what is said of them. */
export function samplePolicies(said: SamplePolicies = {}): PolicyPlanDelta {
  const pods: Readonly<Record<string, PolicyPod>> = {
    [LOCAL_WEB]: { uid: "web-1", identity: WEB, isLocal: true },
    [LOCAL_DB]: { uid: "db-1", identity: DB, isLocal: true },
    [FAR_WEB]: { uid: "web-2", identity: WEB },
    [FAR_DB]: { uid: "db-2", identity: DB },
  };
  const members = (groups: Readonly<Record<string, readonly string[]>> = {}) =>
    Object.entries(groups).map(([id, added]) => [id, { added, removed: [] }] as const);
  return {
    sets: (said.sets ?? []).map((set) => [set.id, set]),
    addresses: members(said.addresses),
    identities: members(said.identities),
    pods: Object.entries(pods).map(([address, pod]) => [
      address,
      { ...pod, ...said.pods?.[address] },
    ]),
  };
}
