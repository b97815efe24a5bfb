// NetworkPolicy as a policy of this feature.

import type {
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  NetworkPolicyRule,
} from "../../lib/kube/api/network-policy.ts";
import type { Direction, Policy, PolicyPeer, PolicyPort, PolicyRule } from "../model/policy.ts";

/** No packet that belongs to a connection has port 0. */
const ALL_PORTS = { first: 1, last: 65_535 } as const;

/** Reads a NetworkPolicy; rules keep their places. */
export function policyOfNetworkPolicy(object: NetworkPolicy): Policy {
  const { namespace, podSelector: labels } = object;
  const name = `NetworkPolicy ${namespace}/${object.name}`;
  const readRules = (direction: Direction): readonly PolicyRule[] | undefined =>
    object[direction]?.map((rule, i) => readRule(rule, `${name} ${direction}[${i}]`, namespace));
  const [ingress, egress] = [readRules("ingress"), readRules("egress")];
  return {
    name,
    tier: "network",
    priority: 0,
    subject: { namespaces: { kind: "named", name: namespace }, labels },
    ...(ingress !== undefined && { ingress }),
    ...(egress !== undefined && { egress }),
  };
}

/** @param namespace the policy's own */
export function readNetworkPeer(peer: NetworkPolicyPeer, namespace: string): PolicyPeer {
  if (peer.kind === "ip-block") return { kind: "block", cidr: peer.cidr, except: peer.except };
  const { namespaceSelector: selector, podSelector: labels } = peer;
  const namespaces =
    selector === undefined
      ? ({ kind: "named", name: namespace } as const)
      : ({ kind: "labelled", selector } as const);
  return { kind: "pods", query: { namespaces, labels } };
}

export function readNetworkPorts(
  ports: readonly NetworkPolicyPort[] | "any",
): readonly PolicyPort[] | "any" {
  return ports === "any" ? "any" : ports.map(readPort);
}

function readRule(rule: NetworkPolicyRule, name: string, namespace: string): PolicyRule {
  const { peers } = rule;
  return {
    name,
    action: "accept",
    peers: peers === "any" ? "any" : peers.map((peer) => readNetworkPeer(peer, namespace)),
    ports: readNetworkPorts(rule.ports),
  };
}

function readPort({ protocol, port, endPort }: NetworkPolicyPort): PolicyPort {
  if (typeof port === "string") return { kind: "named", protocol, name: port };
  if (port === undefined) return { kind: "range", protocol, ...ALL_PORTS };
  return { kind: "range", protocol, first: port, last: endPort ?? port };
}
