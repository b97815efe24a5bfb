// A policy with one part broken, for every part and several ways to break it: what is left never
// lets more through than the whole.

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseClusterNetworkPolicy } from "./cluster-network-policy.ts";
import type { JsonRecord } from "./fields.ts";
import { parseNetworkPolicy } from "./network-policy.ts";
import { readOk } from "./sample-faults.ts";
import { parseServiceAccountPolicy } from "./service-account-policy.ts";

const labels = {
  matchLabels: { app: "web" },
  matchExpressions: [{ key: "tier", operator: "NotIn", values: ["a", "b"] }],
};
const pods = { namespaceSelector: labels, podSelector: labels };
const peers = [pods, { ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] } }];
const ports = [{ protocol: "UDP", port: 80, endPort: 90 }, { port: "http" }];
const accounts = [
  { name: "front", namespaceSelector: labels, selector: labels },
  { name: "front", namespace: "a", trustDomain: "east.example" },
];
const http = [
  {
    methods: ["GET"],
    path: { type: "Prefix", value: "/a" },
    hosts: ["a.example"],
    headers: [{ name: "x-a", value: "b" }],
  },
];
const grpc = [{ service: "shop.Prices", method: "Get" }];
const network = {
  podSelector: labels,
  policyTypes: ["Egress", "Ingress"],
  ingress: [{ from: peers, ports }, {}],
  egress: [{ to: peers, ports }],
};
const account = {
  ...network,
  serviceAccounts: ["web"],
  ingress: [
    { from: [...peers, { serviceAccounts: accounts }], ports: [{ port: 80 }], http, grpc },
    { from: peers, ports },
  ],
};
const protocols = [
  { tcp: { destinationPort: { number: 80 } } },
  { udp: { destinationPort: { range: { start: 1, end: 9 } } } },
];
const to = [{ pods }, { namespaces: labels }, { nodes: labels }, { networks: ["10.0.0.0/8"] }];
const cluster = (action: string): object => ({
  tier: "Admin",
  priority: 10,
  subject: { pods },
  ingress: [{ action, from: [{ pods }], protocols: [{ destinationNamedPort: "http" }] }],
  egress: [{ action, to, protocols }],
});

interface Rule {
  readonly action?: string;
  readonly peers: unknown;
  readonly ports: unknown;
  readonly requests?: unknown;
}
type Policy = {
  readonly action?: string;
  readonly ingress?: readonly Rule[];
  readonly egress?: readonly Rule[];
};

const read = {
  network: (spec: unknown): Policy => readOk(parseNetworkPolicy({ metadata, spec })).object,
  cluster: (spec: unknown): Policy => readOk(parseClusterNetworkPolicy({ metadata, spec })).object,
  account: (spec: unknown): Policy => readOk(parseServiceAccountPolicy({ metadata, spec })).object,
};
const metadata = { name: "web" };
const cases: readonly (readonly [string, object, (spec: unknown) => Policy])[] = [
  ["a NetworkPolicy", network, read.network],
  ["a ServiceAccountPolicy", account, read.account],
  ["a ServiceAccountPolicy that denies", { ...account, action: "Deny" }, read.account],
  ["a ClusterNetworkPolicy that accepts", cluster("Accept"), read.cluster],
  ["a ClusterNetworkPolicy that denies", cluster("Deny"), read.cluster],
  ["a ClusterNetworkPolicy that passes", cluster("Pass"), read.cluster],
];
const GARBAGE: readonly unknown[] = [{ "\u0000": "\u0000" }, "\u0000", Number.NaN, 2 ** 70, [[]]];

for (const [name, spec, parse] of cases) {
  test(`whatever is broken in ${name}, its rules stay as they are or close`, () => {
    const whole = parse(spec);
    let broken = 0;
    for (const path of pathsOf(spec)) {
      for (const garbage of GARBAGE) {
        const found = parse(withValue(spec, path, garbage));
        for (const direction of ["ingress", "egress"] as const) {
          assert(found[direction] !== undefined, path.join("."));
          assert(found[direction].length > 0, path.join("."));
          for (const [i, rule] of found[direction].entries()) {
            if (isClosed(rule, rule.action ?? found.action)) broken++;
            else assert.deepEqual(strip(rule), strip(whole[direction]?.[i]), path.join("."));
          }
        }
      }
    }
    assert(broken > 100);
  });
}

/** Denying all, or allowing nobody. */
function isClosed({ peers, ports }: Rule, action: string | undefined): boolean {
  const wanted = action === "Deny" ? ["any", "any"] : [[], []];
  return JSON.stringify([peers, ports]) === JSON.stringify(wanted);
}

function strip({ peers, ports, requests }: Partial<Rule> = {}): object {
  return { peers, ports, requests };
}

type Path = readonly (string | number)[];

function pathsOf(value: unknown, path: Path = []): readonly Path[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const at = [...path, key];
    return [at, ...pathsOf(inner, at)];
  });
}

function withValue(value: unknown, [key, ...rest]: Path, put: unknown): unknown {
  if (key === undefined) return put;
  if (Array.isArray(value))
    return value.map((one, i) => (`${i}` === key ? withValue(one, rest, put) : one));
  const record = value as JsonRecord;
  return { ...record, [key]: withValue(record[key], rest, put) };
}

test("a rule's name has nothing that a terminal or a log would not print", () => {
  const metadata = { namespace: "shop", name: "web" };
  const nameOf = (name: string): readonly (string | undefined)[] => {
    const rule = { name, from: [{ namespaces: {} }], action: "Accept" };
    const subject = { namespaces: {} };
    const spec = { tier: "Admin", priority: 1, subject, ingress: [rule] };
    const ofCluster = readOk(parseClusterNetworkPolicy({ metadata: { name: "web" }, spec }));
    const own = { podSelector: {}, ingress: [{ name }] };
    const ofAccount = readOk(parseServiceAccountPolicy({ metadata, spec: own }));
    assert.deepEqual([...ofCluster.told, ...ofAccount.told], []);
    return [ofCluster, ofAccount].map(({ object }) => object.ingress?.[0]?.name);
  };
  const bad = "a\u001b[2J\nb\u009b\u202e\u2028\u{e0001}\ud800";
  const good = String.raw`a\u001b[2J\u000ab\u009b\u202e\u2028\udb40\udc01\ud800`;
  assert.deepEqual(nameOf(bad), [good, good]);
  assert.deepEqual(nameOf("für → all"), ["für → all", "für → all"]);
  assert.deepEqual(new Set(nameOf("\n".repeat(500)).map((name) => name?.length)), new Set([100]));
});

test("what is quoted of a policy in a problem is printable, too", () => {
  const spec = { podSelector: {}, action: "\u009b2J\u001b\n\u202e" };
  const metadata = { namespace: "shop", name: "web" };
  const { told } = readOk(parseServiceAccountPolicy({ metadata, spec }));
  assert.match(told.join(), /got "\\u009b2J\\u001b\\n\\u202e"/);
});
