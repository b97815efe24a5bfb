// Objects of the API as policies: what each kind says, in the one shape that all are read into.

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseClusterNetworkPolicy } from "../../lib/kube/api/cluster-network-policy.ts";
import { parseMeshPolicy } from "../../lib/kube/api/mesh-policy.ts";
import { parseNetworkPolicy } from "../../lib/kube/api/network-policy.ts";
import type { Parsed } from "../../lib/kube/api/parsed.ts";
import { parseServiceAccountPolicy } from "../../lib/kube/api/service-account-policy.ts";
import type { Policy } from "../model/policy.ts";
import { policyOfClusterNetworkPolicy } from "./read-cluster-network-policy.ts";
import { meshRuleOf } from "./read-mesh-policy.ts";
import { policyOfNetworkPolicy } from "./read-network-policy.ts";
import { policyOfServiceAccountPolicy } from "./read-service-account-policy.ts";

const metadata = { namespace: "shop", name: "web" };
const all = { matchLabels: {}, matchExpressions: [] };
const web = { matchLabels: { app: "web" }, matchExpressions: [] };
const podSelector = { matchLabels: { app: "web" } };
const shop = { kind: "named", name: "shop" };
const everywhere = { kind: "labelled", selector: all };

function ok<T>(parsed: Parsed<T>): T {
  assert(parsed.kind === "ok");
  assert.deepEqual(parsed.problems, []);
  return parsed.object;
}

function ofNetwork(spec: object): Policy {
  return policyOfNetworkPolicy(ok(parseNetworkPolicy({ metadata, spec })));
}

test("a NetworkPolicy is about its own namespace, and says nothing about other directions", () => {
  assert.deepEqual(ofNetwork({ podSelector }), {
    name: "NetworkPolicy shop/web",
    tier: "network",
    priority: 0,
    subject: { namespaces: shop, labels: web },
    ingress: [],
  });
});

test("peers and ports of a NetworkPolicy", () => {
  const from = [
    { podSelector },
    { namespaceSelector: {} },
    { ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] } },
  ];
  const ports = [
    { protocol: "UDP" },
    { port: 80 },
    { port: 80, endPort: 90 },
    { protocol: "SCTP", port: "sip" },
  ];
  const policy = ofNetwork({ podSelector: {}, ingress: [{}, { from, ports }] });
  assert.deepEqual(policy.ingress, [
    { name: "NetworkPolicy shop/web ingress[0]", action: "accept", peers: "any", ports: "any" },
    {
      name: "NetworkPolicy shop/web ingress[1]",
      action: "accept",
      peers: [
        { kind: "pods", query: { namespaces: shop, labels: web } },
        { kind: "pods", query: { namespaces: everywhere, labels: all } },
        { kind: "block", cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] },
      ],
      ports: [
        { kind: "range", protocol: "UDP", first: 1, last: 65_535 },
        { kind: "range", protocol: "TCP", first: 80, last: 80 },
        { kind: "range", protocol: "TCP", first: 80, last: 90 },
        { kind: "named", protocol: "SCTP", name: "sip" },
      ],
    },
  ]);
});

test("a ClusterNetworkPolicy keeps tier, priority, order and the names of its rules", () => {
  const to = [
    { namespaces: podSelector },
    { networks: ["10.0.0.0/8", "::/0"] },
    { nodes: {} },
    { domainNames: ["a.example"] },
  ];
  const spec = {
    tier: "Baseline",
    priority: 7,
    subject: { pods: { podSelector } },
    egress: [
      { name: "out", action: "Accept", to },
      {
        action: "Pass",
        to: [{ nodes: {} }],
        protocols: [{ tcp: { destinationPort: { number: 6443 } } }],
      },
    ],
  };
  const policy = policyOfClusterNetworkPolicy(ok(parseClusterNetworkPolicy({ metadata, spec })));
  assert.deepEqual(policy, {
    name: "ClusterNetworkPolicy web",
    tier: "baseline",
    priority: 7,
    subject: { namespaces: everywhere, labels: web },
    egress: [
      {
        name: "ClusterNetworkPolicy web egress[0] out",
        action: "accept",
        peers: [
          { kind: "pods", query: { namespaces: { kind: "labelled", selector: web }, labels: all } },
          { kind: "block", cidr: "10.0.0.0/8", except: [] },
          { kind: "block", cidr: "::/0", except: [] },
          { kind: "nodes", labels: all },
          { kind: "domains", names: ["a.example"] },
        ],
        ports: "any",
      },
      {
        name: "ClusterNetworkPolicy web egress[1]",
        action: "pass",
        peers: [{ kind: "nodes", labels: all }],
        ports: [{ kind: "range", protocol: "TCP", first: 6443, last: 6443 }],
      },
    ],
  });
});

for (const [action, tier, done] of [
  ["Allow", "account", "accept"],
  ["Deny", "account-deny", "deny"],
  ["Audit", "account-audit", "audit"],
] as const) {
  test(`a ServiceAccountPolicy with action ${action} stands in tier ${tier}`, () => {
    const serviceAccounts = [
      { name: "front", selector: podSelector },
      { namespaceSelector: {} },
      { name: "front", namespace: "a", trustDomain: "east.example" },
    ];
    const from = [{ serviceAccounts }, { podSelector }];
    const http = [{ methods: ["GET"] }];
    const ingress = [{ name: "read", from, ports: [{ port: 80 }], http }];
    const spec = { serviceAccounts: ["web"], action, ingress, egress: [{}] };
    const object = ok(parseServiceAccountPolicy({ metadata, spec }));
    assert.deepEqual(policyOfServiceAccountPolicy(object), {
      name: "ServiceAccountPolicy shop/web",
      tier,
      priority: 0,
      subject: { namespaces: shop, labels: all, serviceAccounts: ["web"] },
      ingress: [
        {
          name: "ServiceAccountPolicy shop/web ingress[0] read",
          action: done,
          peers: [
            { kind: "identities", query: { namespaces: shop, name: "front", labels: web } },
            { kind: "identities", query: { namespaces: everywhere, labels: all } },
            {
              kind: "identities",
              query: {
                trustDomain: "east.example",
                namespaces: { kind: "named", name: "a" },
                name: "front",
                labels: all,
              },
            },
            { kind: "pods", query: { namespaces: shop, labels: web } },
          ],
          ports: [{ kind: "range", protocol: "TCP", first: 80, last: 80 }],
          requests: [{ methods: ["GET"] }],
        },
      ],
      egress: [
        {
          name: "ServiceAccountPolicy shop/web egress[0]",
          action: done,
          peers: "any",
          ports: "any",
        },
      ],
    });
  });
}

test("where no MeshPolicy is, the mesh is open", () => {
  assert.deepEqual(meshRuleOf(undefined), { otherwise: "open", exceptions: [] });
});

test("a MeshPolicy says what holds otherwise, and for which pods all is open", () => {
  const spec = {
    default: "IdentityRequired",
    exceptions: [{ namespaces: ["a", "b"], podSelector }, { namespaceSelector: {} }],
  };
  const object = ok(parseMeshPolicy({ metadata: { name: "default" }, spec }));
  assert.deepEqual(meshRuleOf(object), {
    otherwise: "identity-required",
    exceptions: [
      { namespaces: { kind: "named", name: "a" }, labels: web },
      { namespaces: { kind: "named", name: "b" }, labels: web },
      { namespaces: everywhere, labels: all },
    ],
  });
});
