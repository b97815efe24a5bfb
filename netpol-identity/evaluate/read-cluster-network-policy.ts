// ClusterNetworkPolicy as a policy of this feature.

import type {
  ClusterNetworkPolicy,
  ClusterNetworkPolicyAction,
  ClusterNetworkPolicyPeer,
  ClusterNetworkPolicyRule,
  NamespacedPods,
} from "../../lib/kube/api/cluster-network-policy.ts";
import type { Direction, PodQuery, Policy, PolicyPeer, PolicyRule } from "../model/policy.ts";

const ACTIONS = { Accept: "accept", Deny: "deny", Pass: "pass" } as const satisfies Record<
  ClusterNetworkPolicyAction,
  PolicyRule["action"]
>;

/** Reads a ClusterNetworkPolicy; rules keep their places, for the first that matches decides. */
export function policyOfClusterNetworkPolicy(object: ClusterNetworkPolicy): Policy {
  const name = `ClusterNetworkPolicy ${object.name}`;
  const readRules = (direction: Direction): readonly PolicyRule[] =>
    object[direction].map((rule, i) => readRule(rule, `${name} ${direction}[${i}]`));
  return {
    name,
    tier: object.tier === "Admin" ? "admin" : "baseline",
    priority: object.priority,
    subject: queryOf(object.subject),
    ...(object.ingress.length > 0 && { ingress: readRules("ingress") }),
    ...(object.egress.length > 0 && { egress: readRules("egress") }),
  };
}

function readRule(rule: ClusterNetworkPolicyRule, place: string): PolicyRule {
  const { name, action, peers, ports } = rule;
  return {
    name: name === "" ? place : `${place} ${name}`,
    action: ACTIONS[action],
    peers: peers === "any" ? "any" : peers.flatMap(readPeer),
    ports,
  };
}

function readPeer(peer: ClusterNetworkPolicyPeer): readonly PolicyPeer[] {
  switch (peer.kind) {
    case "pods":
      return [{ kind: "pods", query: queryOf(peer) }];
    case "networks":
      return peer.cidrs.map((cidr) => ({ kind: "block", cidr, except: [] }));
    case "nodes":
    case "domains":
      return [peer];
    default:
      return peer satisfies never;
  }
}

function queryOf({ namespaceSelector: selector, podSelector: labels }: NamespacedPods): PodQuery {
  return { namespaces: { kind: "labelled", selector }, labels };
}
