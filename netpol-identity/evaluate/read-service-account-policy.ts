// ServiceAccountPolicy as a policy of this feature.

import type {
  ServiceAccountPeer,
  ServiceAccountPolicy,
  ServiceAccountPolicyAction,
  ServiceAccountPolicyPeer,
  ServiceAccountPolicyRule,
} from "../../lib/kube/api/service-account-policy.ts";
import type {
  Direction,
  IdentityQuery,
  Policy,
  PolicyPeer,
  PolicyRule,
  RuleAction,
  Tier,
} from "../model/policy.ts";
import { readNetworkPeer, readNetworkPorts } from "./read-network-policy.ts";

const MEANINGS: Readonly<
  Record<ServiceAccountPolicyAction, { readonly tier: Tier; readonly action: RuleAction }>
> = {
  Allow: { tier: "account", action: "accept" },
  Deny: { tier: "account-deny", action: "deny" },
  Audit: { tier: "account-audit", action: "audit" },
};

/** Reads a ServiceAccountPolicy; rules keep their places. */
export function policyOfServiceAccountPolicy(object: ServiceAccountPolicy): Policy {
  const { namespace, podSelector: labels, serviceAccounts } = object;
  const name = `ServiceAccountPolicy ${namespace}/${object.name}`;
  const { tier, action } = MEANINGS[object.action];
  const readRules = (direction: Direction): readonly PolicyRule[] | undefined =>
    object[direction]?.map((rule, i) => ({
      ...readRule(rule, `${name} ${direction}[${i}]`, namespace),
      action,
    }));
  const [ingress, egress] = [readRules("ingress"), readRules("egress")];
  return {
    name,
    tier,
    priority: 0,
    subject: {
      namespaces: { kind: "named", name: namespace },
      labels,
      ...(serviceAccounts !== undefined && { serviceAccounts }),
    },
    ...(ingress !== undefined && { ingress }),
    ...(egress !== undefined && { egress }),
  };
}

function readRule(
  { name, peers, ports, requests }: ServiceAccountPolicyRule,
  place: string,
  namespace: string,
): Omit<PolicyRule, "action"> {
  return {
    name: name === "" ? place : `${place} ${name}`,
    peers: peers === "any" ? "any" : peers.flatMap((peer) => readPeer(peer, namespace)),
    ports: readNetworkPorts(ports),
    ...(requests !== undefined && { requests }),
  };
}

function readPeer(peer: ServiceAccountPolicyPeer, namespace: string): readonly PolicyPeer[] {
  if (peer.kind !== "accounts") return [readNetworkPeer(peer, namespace)];
  return peer.accounts.map((account) => ({ kind: "identities", query: queryOf(account) }));
}

function queryOf({ name, namespaces, trustDomain, selector }: ServiceAccountPeer): IdentityQuery {
  return {
    ...(trustDomain !== undefined && { trustDomain }),
    namespaces:
      typeof namespaces === "string"
        ? { kind: "named", name: namespaces }
        : { kind: "labelled", selector: namespaces },
    ...(name !== undefined && { name }),
    labels: selector,
  };
}
