// All that holds for a pod in one direction, in the order in which it is asked: what the evaluator
// judges by, and what the kernel's chains are made of. Pods with equal sets share one.

import type { HttpRequestMatch } from "../../lib/kube/api/request-match.ts";
import type { Direction, MeshDefault, RuleAction } from "../model/policy.ts";

/** Names a group of addresses or identities by its content's query, e.g. `p-1f0c…`. */
export type GroupId = string;

export interface PolicySet {
  /** Of its content: equal for equal sets, on every node. */
  readonly id: string;
  readonly direction: Direction;
  /** ClusterNetworkPolicy of tier Admin, by priority: the first match decides. */
  readonly admin: readonly SetRule[];
  readonly denies: readonly SetRule[];
  readonly audits: readonly SetRule[];
  /** Undefined: no NetworkPolicy selects the pod in this direction. */
  readonly network?: AllowList;
  /** Undefined: no ServiceAccountPolicy with action Allow does. */
  readonly account?: AllowList;
  /** Asked only where neither of the two is there. */
  readonly baseline: readonly SetRule[];
  readonly otherwise: MeshDefault;
  /**
   * Of ingress: ports about which some rule needs a certificate or a request. All that comes to
   * them over TCP comes through this node's workers; to other protocols they are closed.
   */
  readonly provenPorts: readonly PortRange[];
  /** Of egress: what holds for calls to the pod's own node; missing where nothing does. */
  readonly ownNode?: PolicySet;
  /** On requests: so many that rules about them closed their ports instead; missing where not. */
  readonly conditions?: number;
}

/** One of the rules must match. */
export interface AllowList {
  readonly rules: readonly SetRule[];
  /** Of the policies that made it; the reason of a denial. */
  readonly policies: readonly string[];
}

export interface SetRule {
  readonly name: string;
  readonly action: RuleAction;
  readonly peers: SetPeers | "any";
  /** Named ports are numbers by now. */
  readonly ports: readonly PortRange[] | "any";
  readonly requests?: readonly HttpRequestMatch[];
}

/** Any of these; all empty: nobody. */
export interface SetPeers {
  /** Of addresses. */
  readonly groups: readonly GroupId[];
  readonly blocks: readonly AddressBlock[];
  /** Of identities. */
  readonly identities: readonly GroupId[];
}

export interface AddressBlock {
  readonly cidr: string;
  readonly except: readonly string[];
}

export interface PortRange {
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
}

/** Who is in which group: the part of a rule that changes with the cluster. */
export interface Groups {
  /** Canonical addresses; undefined for a group that is not known: nobody is in it. */
  addresses(group: GroupId): ReadonlySet<string> | undefined;
  /** SPIFFE URIs; `spiffe://other.domain/ns/*\/sa/web` where a part is open. */
  identities(group: GroupId): ReadonlySet<string> | undefined;
}
