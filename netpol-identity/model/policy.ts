// A policy as this feature sees it, whichever kind of object said it: who is subject to it, in what
// tier it stands, and rules in order. Everything below works on these values only.

import type { LabelSelector } from "../../lib/kube/api/label-selector.ts";
import type { TransportProtocol } from "../../lib/kube/api/network-policy.ts";
import type { HttpRequestMatch } from "../../lib/kube/api/request-match.ts";

export type Direction = "ingress" | "egress";

/**
 * Where a policy stands. In this order:
 * admin (ClusterNetworkPolicy), first match decides, Pass leaves the tier;
 * account-deny (ServiceAccountPolicy with action Deny), any match denies;
 * network and account (NetworkPolicy; ServiceAccountPolicy with action Allow): where policies of
 * one of the two select a pod, one rule of them must match, and both must where both do;
 * baseline (ClusterNetworkPolicy), first match decides, where neither of the two selects the pod;
 * then the mesh's default. `account-audit` tells and decides nothing.
 */
export type Tier = "admin" | "account-deny" | "account-audit" | "network" | "account" | "baseline";

export interface Policy {
  /** `NetworkPolicy default/web` */
  readonly name: string;
  readonly tier: Tier;
  /** Lower first, in the tiers of ClusterNetworkPolicy; 0 elsewhere. */
  readonly priority: number;
  readonly subject: PodQuery;
  /** Undefined: it says nothing about that direction. Empty: nothing matches. */
  readonly ingress?: readonly PolicyRule[];
  readonly egress?: readonly PolicyRule[];
}

/** Pods for which every part holds. Pods of their node's network are never among them. */
export interface PodQuery {
  readonly namespaces: NamespaceQuery;
  readonly labels: LabelSelector;
  /** Names of ServiceAccounts; undefined: any. */
  readonly serviceAccounts?: readonly string[];
}

export type NamespaceQuery =
  | { readonly kind: "named"; readonly name: string }
  | { readonly kind: "labelled"; readonly selector: LabelSelector };

export type RuleAction = "accept" | "deny" | "pass" | "audit";

export interface PolicyRule {
  /** `NetworkPolicy default/web ingress[0]`, with the rule's own name where it has one. */
  readonly name: string;
  readonly action: RuleAction;
  /** Any of these; an empty list matches nobody. */
  readonly peers: readonly PolicyPeer[] | "any";
  /** Any of these; "any" is every protocol, ICMP too. */
  readonly ports: readonly PolicyPort[] | "any";
  /** Any of these requests; only in rules about what comes in, on TCP. */
  readonly requests?: readonly HttpRequestMatch[];
}

export type PolicyPeer =
  /** Known by their addresses, where nobody else can have them. */
  | { readonly kind: "pods"; readonly query: PodQuery }
  | { readonly kind: "block"; readonly cidr: string; readonly except: readonly string[] }
  | { readonly kind: "nodes"; readonly labels: LabelSelector }
  /** Known by the certificate on the wire alone. */
  | { readonly kind: "identities"; readonly query: IdentityQuery }
  /** Names that this node resolves itself; `*.example.com` is not among them. */
  | { readonly kind: "domains"; readonly names: readonly string[] };

/** ServiceAccounts for which every part holds. */
export interface IdentityQuery {
  /** Undefined: this cluster's own. Of others only names are known. */
  readonly trustDomain?: string;
  readonly namespaces: NamespaceQuery;
  /** Undefined: any name. */
  readonly name?: string;
  /** Of the ServiceAccount. */
  readonly labels: LabelSelector;
}

export type PolicyPort =
  | {
      readonly kind: "range";
      readonly protocol: TransportProtocol;
      readonly first: number;
      /** Inclusive. */
      readonly last: number;
    }
  /** A container port's name, of the pod that is called. */
  | { readonly kind: "named"; readonly protocol?: TransportProtocol; readonly name: string };

/** What holds for pods that no policy speaks about in a direction; set by the mesh's admin. */
export type MeshDefault = "open" | "identity-required" | "deny";
