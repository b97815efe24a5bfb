// Random policies of the kinds that cyclonus does not know, on top of NetworkPolicies: the tiers of
// ClusterNetworkPolicy, and ServiceAccountPolicies about addresses.

import fc from "fast-check";
import type { PolicyObjects } from "../../netpol-identity/evaluate/sample-policy-objects.ts";
import {
  BLOCKS,
  NAMESPACES,
  PORT_NAMES,
  type RandomHost,
  randomObjects,
  randomPort,
  randomRule,
  randomSelector,
} from "./random-objects.ts";

/**
 * As `randomObjects`, with up to three policies of each other kind.
 * @param hasIdentities some rules are about ServiceAccounts
 */
export function randomTiers(
  hosts: readonly RandomHost[],
  hasIdentities: boolean,
): fc.Arbitrary<PolicyObjects> {
  const accounts = hosts.map((_, at) => `pod-${at}`);
  const parts = fc.record({
    objects: randomObjects(hosts),
    cluster: fc.array(clusterSpec(), { maxLength: 3 }),
    account: fc.array(accountPolicy(hasIdentities ? accounts : []), { maxLength: 2 }),
  });
  return parts.map(({ objects, cluster, account }) => ({
    ...objects,
    policies: [
      ...objects.policies,
      ...cluster.map((spec, at) => ({
        apiVersion: "policy.networking.k8s.io/v1alpha2",
        kind: "ClusterNetworkPolicy",
        metadata: { name: `cluster-${at}` },
        spec,
      })),
      ...account.map(({ namespace, ...spec }, at) => ({
        apiVersion: "innermesh.io/v1alpha1",
        kind: "ServiceAccountPolicy",
        metadata: { namespace, name: `account-${at}` },
        spec,
      })),
    ],
  }));
}

function clusterSpec(): fc.Arbitrary<object> {
  const named = fc.record({ destinationNamedPort: fc.constantFrom(...PORT_NAMES) });
  const ports = fc.oneof({ arbitrary: protocol(), weight: 3 }, { arbitrary: named, weight: 1 });
  const fromPods = clusterRule("from", pods(), ports);
  const toPods = clusterRule("to", pods(), ports);
  // Names are of pods' ports.
  const toNetworks = clusterRule("to", networks(), protocol());
  return fc.record(
    {
      tier: fc.constantFrom("Admin", "Baseline"),
      // 0 is for whoever runs the tests.
      priority: fc.integer({ min: 1, max: 1_000 }),
      subject: pods(),
      ingress: fc.array(fromPods, { maxLength: 3 }),
      egress: fc.array(fc.oneof(toPods, toNetworks), { maxLength: 3 }),
    },
    { requiredKeys: ["tier", "priority", "subject"] },
  );
}

function clusterRule(
  side: "from" | "to",
  peer: fc.Arbitrary<object>,
  ports: fc.Arbitrary<object>,
): fc.Arbitrary<object> {
  const parts = {
    action: fc.constantFrom("Accept", "Deny", "Pass"),
    [side]: fc.array(peer, { minLength: 1, maxLength: 2 }),
    protocols: fc.array(ports, { minLength: 1, maxLength: 2 }),
  };
  return fc.record(parts, { requiredKeys: ["action", side] });
}

function pods(): fc.Arbitrary<object> {
  const both = fc.record({ namespaceSelector: randomSelector(), podSelector: randomSelector() });
  return fc.oneof(fc.record({ namespaces: randomSelector() }), fc.record({ pods: both }));
}

function networks(): fc.Arbitrary<object> {
  const cidr = fc.constantFrom(...BLOCKS.map(([block]) => block));
  return fc.record({ networks: fc.uniqueArray(cidr, { minLength: 1, maxLength: 2 }) });
}

function protocol(): fc.Arbitrary<object> {
  const number = fc.constantFrom(79, 80, 81);
  const range = fc
    .record({ start: number, more: fc.integer({ min: 1, max: 3 }) })
    .map(({ start, more }) => ({ range: { start, end: start + more } }));
  const destinationPort = fc.oneof(fc.record({ number }), range);
  return fc
    .tuple(fc.constantFrom("tcp", "udp", "sctp"), destinationPort)
    .map(([name, port]) => ({ [name]: { destinationPort: port } }));
}

/** @param accounts names that rules may be about; none: rules are about addresses */
function accountPolicy(accounts: readonly string[]): fc.Arbitrary<{ readonly namespace: string }> {
  const rule = (side: "from" | "to"): fc.Arbitrary<object> =>
    accounts.length === 0
      ? randomRule(side)
      : fc.oneof(randomRule(side), accountRule(side, accounts));
  return fc.record(
    {
      namespace: fc.constantFrom(...NAMESPACES),
      podSelector: randomSelector(),
      action: fc.constantFrom("Allow", "Deny"),
      policyTypes: fc.constantFrom(["Ingress"], ["Egress"], ["Ingress", "Egress"]),
      ingress: fc.array(rule("from"), { maxLength: 2 }),
      egress: fc.array(rule("to"), { maxLength: 2 }),
    },
    { requiredKeys: ["namespace", "podSelector", "action", "policyTypes"] },
  );
}

function accountRule(side: "from" | "to", accounts: readonly string[]): fc.Arbitrary<object> {
  const name = fc.constantFrom(...accounts);
  const namespace = fc.constantFrom(...NAMESPACES);
  const account = fc.oneof(
    fc.record({ name, namespace }, { requiredKeys: [] }),
    fc.record(
      { name, namespaceSelector: randomSelector() },
      { requiredKeys: ["namespaceSelector"] },
    ),
  );
  const serviceAccounts = fc.array(account, { minLength: 1, maxLength: 3 });
  const parts = {
    [side]: fc.array(fc.record({ serviceAccounts }), { minLength: 1, maxLength: 2 }),
    ports: fc.array(randomPort(), { maxLength: 2 }),
  };
  return fc.record(parts, { requiredKeys: [side] });
}
