// What proxy workers need to enforce policies: values that travel as JSON from the control process,
// beside what they are told of identities.

import type { GroupId, PolicySet, SetPeers, SetRule } from "../evaluate/policy-set.ts";
import type { SpiffeUri, TunnelPlanDelta } from "../model/tunnel-plan.ts";

/** A pod of the cluster with addresses of its own. */
export interface PolicyPod {
  readonly uid: string;
  /** Of its ServiceAccount, enrolled or not. */
  readonly identity: SpiffeUri;
  /** Id of all that holds for it in that direction; missing: no policy selects it. */
  readonly ingress?: string;
  readonly egress?: string;
  /** It is of this node, which has the last word about it. */
  readonly isLocal?: true;
}

export interface MemberChange {
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/** All members are added when a group is first told of; null: no set asks about it any more. */
export type GroupChange = readonly [GroupId, MemberChange | null];

/** What is new or differs, and what is gone (null). Applied as one. */
export interface PolicyPlanDelta {
  /** By id; a set never changes under its id. */
  readonly sets: readonly (readonly [string, PolicySet | null])[];
  readonly addresses: readonly GroupChange[];
  readonly identities: readonly GroupChange[];
  /** Of the whole cluster, by address. */
  readonly pods: readonly (readonly [string, PolicyPod | null])[];
}

/** One message to a worker: who is who and who may do what change together. */
export interface WorkerDelta extends TunnelPlanDelta {
  /** Missing where no policies are kept, and where nothing of them changed. */
  readonly policy?: PolicyPlanDelta;
}

export interface GroupIds {
  readonly addresses: ReadonlySet<GroupId>;
  readonly identities: ReadonlySet<GroupId>;
}

/** Whether both say the same. */
export function isSamePod(a: PolicyPod, b: PolicyPod): boolean {
  return (
    a.uid === b.uid &&
    a.identity === b.identity &&
    a.ingress === b.ingress &&
    a.egress === b.egress &&
    a.isLocal === b.isLocal
  );
}

/** The groups that a set asks about. */
export function groupsOf(set: PolicySet): GroupIds {
  const addresses = new Set<GroupId>();
  const identities = new Set<GroupId>();
  for (const { groups, identities: ids } of peersOf(set)) {
    for (const id of groups) addresses.add(id);
    for (const id of ids) identities.add(id);
  }
  return { addresses, identities };
}

function* peersOf(set: PolicySet): Generator<SetPeers> {
  const { admin, denies, audits, network, account, baseline } = set;
  const lists: readonly (readonly SetRule[] | undefined)[] = [
    admin,
    denies,
    audits,
    network?.rules,
    account?.rules,
    baseline,
  ];
  for (const rules of lists) {
    for (const { peers } of rules ?? []) if (peers !== "any") yield peers;
  }
}
