import assert from "node:assert/strict";
import { test } from "node:test";
import { type ClusterNetworkPolicy, parseClusterNetworkPolicy } from "./cluster-network-policy.ts";
import { readOk } from "./sample-faults.ts";

const metadata = { name: "fence", uid: "u", resourceVersion: "7", generation: 3 };
const web = { matchLabels: { app: "web" }, matchExpressions: [] };
const all = { matchLabels: {}, matchExpressions: [] };
const selector = { matchLabels: { app: "web" } };
const base = { tier: "Admin", priority: 10, subject: { namespaces: {} } };
const everybody = [{ namespaces: {} }];

function read(spec: object): { object: ClusterNetworkPolicy; told: readonly string[] } {
  return readOk(parseClusterNetworkPolicy({ metadata, spec: { ...base, ...spec } }));
}

test("tier, priority and subject are read", () => {
  const { object, told } = read({
    tier: "Baseline",
    priority: 1000,
    subject: { pods: { namespaceSelector: {}, podSelector: selector } },
  });
  assert.deepEqual(told, []);
  assert.deepEqual(object, {
    kind: "ClusterNetworkPolicy",
    ...metadata,
    tier: "Baseline",
    priority: 1000,
    subject: { namespaceSelector: all, podSelector: web },
    ingress: [],
    egress: [],
  });
});

const peers: readonly (readonly [object, object])[] = [
  [{ namespaces: selector }, { kind: "pods", namespaceSelector: web, podSelector: all }],
  [
    { pods: { namespaceSelector: {}, podSelector: selector } },
    { kind: "pods", namespaceSelector: all, podSelector: web },
  ],
  [{ pods: { podSelector: {} } }, { kind: "pods", namespaceSelector: all, podSelector: all }],
  [{ nodes: selector }, { kind: "nodes", labels: web }],
  [
    { networks: ["10.0.0.0/8", "fd00::1/64"] },
    { kind: "networks", cidrs: ["10.0.0.0/8", "fd00::/64"] },
  ],
  [
    { domainNames: ["API.example.com.", "a_b.example.com"] },
    { kind: "domains", names: ["api.example.com", "a_b.example.com"] },
  ],
];
for (const [peer, expected] of peers) {
  test(`the peer ${JSON.stringify(peer)} is read`, () => {
    const { object, told } = read({ egress: [{ name: "r", action: "Accept", to: [peer] }] });
    assert.deepEqual(told, []);
    const rule = { name: "r", action: "Accept", peers: [expected], ports: "any" };
    assert.deepEqual(object.egress, [rule]);
  });
}

const ports: readonly (readonly [object, object])[] = [
  [
    { tcp: { destinationPort: { number: 80 } } },
    { kind: "range", protocol: "TCP", first: 80, last: 80 },
  ],
  [
    { udp: { destinationPort: { range: { start: 1, end: 65535 } } } },
    { kind: "range", protocol: "UDP", first: 1, last: 65535 },
  ],
  [
    { sctp: { destinationPort: { number: 7 } } },
    { kind: "range", protocol: "SCTP", first: 7, last: 7 },
  ],
  [{ destinationNamedPort: "http" }, { kind: "named", name: "http" }],
];
for (const [port, expected] of ports) {
  test(`${JSON.stringify(port)} is read`, () => {
    const rule = { action: "Pass", from: everybody, protocols: [port] };
    const { object, told } = read({ ingress: [rule] });
    assert.deepEqual(told, []);
    assert.deepEqual(object.ingress[0]?.ports, [expected]);
  });
}

const faultyEgress: readonly (readonly [object, RegExp])[] = [
  [{}, /to: want at least one item/],
  [{ to: [] }, /to: want at least one item/],
  [{ from: everybody }, /got "from"/],
  [{ to: [{}] }, /want one of namespaces, pods, nodes, networks, domainNames: got 0/],
  [{ to: [{ cidrs: ["::/0"] }] }, /got "cidrs"/],
  [{ to: [{ namespaces: {}, nodes: {} }] }, /got 2/],
  [{ to: [{ namespaces: "all" }] }, /namespaces: want an object/],
  [{ to: [{ pods: { namespaceSelector: {} } }] }, /podSelector: want an object/],
  [{ to: [{ networks: ["10.0.0.0"] }] }, /networks\[0\]: want a prefix/],
  [{ to: [{ networks: [] }] }, /networks: want at least one/],
  [{ to: [{ domainNames: ["*.example.com"] }] }, /without wildcard: got "\*\.example\.com"/],
  [{ to: [{ domainNames: ["localhost"] }] }, /want a name like example\.com/],
  [{ to: Array(26).fill({ nodes: {} }) }, /want at most 25 items: got 26/],
  [{ to: everybody, protocols: [] }, /protocols: want at least one/],
  [{ to: everybody, protocols: [{}] }, /want one of tcp, udp, sctp, destinationNamedPort: got 0/],
  [{ to: everybody, protocols: [{ icmp: {} }] }, /got "icmp"/],
  [{ to: everybody, protocols: [{ tcp: {} }] }, /destinationPort: want an object/],
  [{ to: everybody, protocols: [{ tcp: { destinationPort: { number: 0 } } }] }, /1 to 65535/],
  [
    { to: everybody, protocols: [{ tcp: { destinationPort: { range: { start: 2, end: 1 } } } }] },
    /want start below end/,
  ],
  [{ to: everybody, protocols: [{ destinationNamedPort: "HTTP" }] }, /want a port's name/],
  [{ to: [{ nodes: {} }], protocols: [{ destinationNamedPort: "http" }] }, /port names beside/],
];
const closed = { peers: "any", ports: "any", action: "Deny", name: "" };
for (const [rule, expected] of faultyEgress) {
  test(`with ${JSON.stringify(rule).slice(0, 70)} Accept matches nobody, Deny and Pass deny all`, () => {
    const { object, told } = read({
      egress: ["Accept", "Deny", "Pass"].map((action) => ({ action, ...rule })),
    });
    const accept = { name: "", action: "Accept", peers: [], ports: [] };
    assert.deepEqual(object.egress, [accept, closed, closed]);
    assert.match(told.join("\n"), expected);
    assert.match(told.join("\n"), /egress\[0\]: until it is mended the rule matches nobody/);
  });
}

test("names of domains only accept", () => {
  const to = [{ domainNames: ["example.com"] }];
  const { object, told } = read({ egress: [{ action: "Deny", to }] });
  assert.deepEqual(object.egress, [closed]);
  assert.match(told.join("\n"), /want domainNames in rules that accept: got Deny/);
});

test("what comes in has pods and namespaces as peers only", () => {
  for (const peer of [{ networks: ["10.0.0.0/8"] }, { nodes: {} }, { domainNames: ["a.b"] }]) {
    const { object } = read({ ingress: [{ action: "Deny", from: [peer] }] });
    assert.deepEqual(object.ingress, [closed]);
  }
});

test("an action that cannot be read denies, and so do rules that are no list or too many", () => {
  const rule = { action: "accept", from: everybody };
  assert.deepEqual(read({ ingress: [rule] }).object.ingress, [closed]);
  assert.deepEqual(read({ ingress: "all" }).object.ingress, [closed]);
  const many = Array(1e6).fill({ action: "Accept", from: everybody });
  assert.deepEqual(read({ ingress: many }).object.ingress, [closed]);
});

test("without tier, priority or subject nothing is accepted, and what is denied is denied first", () => {
  const ingress = [
    { action: "Accept", from: everybody },
    { action: "Deny", from: everybody },
  ];
  const faulty = [
    { tier: "admin" },
    { priority: 1001 },
    { priority: -1 },
    { priority: "1" },
    { subject: {} },
    { subject: { namespaces: {}, pods: { podSelector: {} } } },
    { subject: { namespaces: { matchLabels: { a: 1 } } } },
  ];
  for (const fault of faulty) {
    const { object, told } = read({ tier: "Baseline", ingress, ...fault });
    assert.equal(told.length > 0, true);
    assert.deepEqual([object.tier, object.priority], ["Admin", 0]);
    assert.deepEqual(object.subject, { namespaceSelector: all, podSelector: all });
    const accept = { name: "", action: "Accept", peers: [], ports: [] };
    assert.deepEqual(object.ingress, [accept, closed]);
  }
});
