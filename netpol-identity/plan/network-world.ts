// What the kernel has to know of policies: which sets hold for whom on this node, and who is in the
// groups that they name.

import type { GroupId, Groups, PolicySet } from "../evaluate/policy-set.ts";

export interface NetworkWorld {
  /** Pods of this node with addresses of their own, whether or not a policy selects them. */
  readonly pods: readonly NetworkPod[];
  /**
   * Enrolled pods anywhere that are called directly, through a worker here: judged before it
   * accepts. The list stays the same object while it is equal.
   */
  readonly gates: readonly NetworkGate[];
  /** The same object stays for a group while its members are the same. */
  readonly groups: Pick<Groups, "addresses">;
  /** Addresses of enrolled pods whose identity is in a group; kept in the same way. */
  readonly carriers: (group: GroupId) => ReadonlySet<string>;
  /** Some pod of this node has no address yet and will be isolated. */
  readonly hold: boolean;
  /** This node's: while `hold`, their addresses that no pod is known to have hear nothing. */
  readonly podCidrs: readonly string[];
  /** The group of nfnetlink_log that some denials are told to; none where the kernel lacks it. */
  readonly logGroup?: number;
  /** As others see this node; `carriers` has them by its identity. @default none */
  readonly hostAddresses?: readonly string[];
}

export interface NetworkPod {
  readonly addresses: readonly string[];
  readonly ingress?: PolicySet;
  readonly egress?: PolicySet;
}

export interface NetworkGate {
  readonly address: string;
  /** What holds for what comes in. */
  readonly ingress: PolicySet;
}

/** Nobody is isolated. */
export const NO_POLICIES: NetworkWorld = {
  pods: [],
  gates: [],
  groups: { addresses: () => undefined },
  carriers: () => new Set(),
  hold: false,
  podCidrs: [],
};
