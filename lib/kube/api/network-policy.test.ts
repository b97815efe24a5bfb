import assert from "node:assert/strict";
import { test } from "node:test";
import { type NetworkPolicy, parseNetworkPolicy } from "./network-policy.ts";
import { readOk } from "./sample-faults.ts";

const metadata = { namespace: "shop", name: "web", uid: "u", resourceVersion: "7", generation: 3 };
const podSelector = { matchLabels: { app: "web" } };
const web = { matchLabels: { app: "web" }, matchExpressions: [] };
const all = { matchLabels: {}, matchExpressions: [] };
const NOTHING = { peers: [], ports: [] };
const ANY = { peers: "any", ports: "any" };

function read(spec: object): { object: NetworkPolicy; told: readonly string[] } {
  return readOk(parseNetworkPolicy({ metadata, spec: { podSelector, ...spec } }));
}

test("what identifies a policy is kept, and its generation", () => {
  const { object, told } = read({});
  assert.deepEqual(told, []);
  assert.deepEqual(object, {
    kind: "NetworkPolicy",
    ...metadata,
    podSelector: web,
    ingress: [],
  });
});

const directions: readonly (readonly [string, object, object])[] = [
  ["nothing but a selector lets nothing in", {}, { ingress: [] }],
  ["empty lists are as absent ones", { ingress: [], egress: [] }, { ingress: [] }],
  ["null is as absent", { ingress: null, egress: null, policyTypes: null }, { ingress: [] }],
  ["rules for egress add that direction", { egress: [{}] }, { ingress: [], egress: [ANY] }],
  ["an empty rule is about everybody", { ingress: [{}] }, { ingress: [ANY] }],
  ["types choose", { policyTypes: ["Egress"], ingress: [{}] }, { egress: [] }],
  ["both types", { policyTypes: ["Ingress", "Egress"] }, { ingress: [], egress: [] }],
  [
    "empty lists of peers and ports are everybody and everything",
    {
      ingress: [
        { from: [], ports: [] },
        { from: null, ports: null },
      ],
    },
    { ingress: [ANY, ANY] },
  ],
];
for (const [name, spec, expected] of directions) {
  test(`of directions: ${name}`, () => {
    const { object, told } = read(spec);
    assert.deepEqual(told, []);
    assert.deepEqual({ ...expected }, pick(object));
  });
}

function pick({ ingress, egress }: NetworkPolicy): object {
  return { ...(ingress && { ingress }), ...(egress && { egress }) };
}

test("types that cannot be read close both directions, whatever the rules say", () => {
  for (const policyTypes of [["ingress"], "Egress", ["Ingress", "Egress", "Egress"]]) {
    const { object, told } = read({ policyTypes, ingress: [{}] });
    assert.deepEqual(pick(object), { ingress: [NOTHING], egress: [] });
    assert.match(told.join(), /spec\.policyTypes/);
  }
});

const peers: readonly (readonly [object, object])[] = [
  [{ podSelector }, { kind: "pods", podSelector: web }],
  [{ podSelector: {} }, { kind: "pods", podSelector: all }],
  [
    { podSelector, namespaceSelector: null },
    { kind: "pods", podSelector: web },
  ],
  [{ namespaceSelector: {} }, { kind: "pods", namespaceSelector: all, podSelector: all }],
  [
    { namespaceSelector: podSelector, podSelector },
    { kind: "pods", namespaceSelector: web, podSelector: web },
  ],
  [{ ipBlock: { cidr: "10.0.0.9/8" } }, { kind: "ip-block", cidr: "10.0.0.0/8", except: [] }],
  [
    { ipBlock: { cidr: "fd00::/16", except: ["fd00:1::/32"] } },
    { kind: "ip-block", cidr: "fd00::/16", except: ["fd00:1::/32"] },
  ],
];
for (const [peer, expected] of peers) {
  test(`the peer ${JSON.stringify(peer)} is read`, () => {
    const { object, told } = read({ ingress: [{ from: [peer] }], egress: [{ to: [peer] }] });
    assert.deepEqual(told, []);
    const rule = { peers: [expected], ports: "any" };
    assert.deepEqual(pick(object), { ingress: [rule], egress: [rule] });
  });
}

const ports: readonly (readonly [object, object])[] = [
  [{}, { protocol: "TCP" }],
  [{ protocol: "UDP" }, { protocol: "UDP" }],
  [{ port: 80 }, { protocol: "TCP", port: 80 }],
  [
    { protocol: "SCTP", port: "http" },
    { protocol: "SCTP", port: "http" },
  ],
  [
    { port: 8000, endPort: 9000 },
    { protocol: "TCP", port: 8000, endPort: 9000 },
  ],
  [
    { port: 80, endPort: 80 },
    { protocol: "TCP", port: 80, endPort: 80 },
  ],
  [{ port: null, endPort: null, protocol: null }, { protocol: "TCP" }],
];
for (const [port, expected] of ports) {
  test(`the port ${JSON.stringify(port)} is read`, () => {
    const { object, told } = read({ ingress: [{ ports: [port] }] });
    assert.deepEqual(told, []);
    assert.deepEqual(object.ingress, [{ peers: "any", ports: [expected] }]);
  });
}

const faultyRules: readonly (readonly [unknown, RegExp])[] = [
  [null, /ingress\[0\]: want an object: got null/],
  [{ form: [] }, /want no other fields than from, ports: got "form"/],
  [{ to: [] }, /got "to"/],
  [{ from: { podSelector: {} } }, /from: want a list: got an object/],
  [{ from: [{}] }, /from\[0\]: want podSelector, namespaceSelector or ipBlock: got none/],
  [{ from: [{ podSelector: {} }, null] }, /from\[1\]: want an object: got null/],
  [{ from: [{ serviceAccounts: [] }] }, /got "serviceAccounts"/],
  [{ from: [{ podSelector: {}, ipBlock: { cidr: "::/0" } }] }, /got both/],
  [{ from: [{ podSelector: { matchLabels: { a: 1 } } }] }, /want a label's value/],
  [{ from: [{ podSelector, namespaceSelector: "x" }] }, /namespaceSelector: want an object/],
  [{ from: [{ ipBlock: { cidr: "10.0.0.0/33" } }] }, /cidr: want a prefix/],
  [{ from: [{ ipBlock: { cidr: "10.0.0.1" } }] }, /cidr: want a prefix/],
  [{ from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["11.0.0.0/16"] } }] }, /inside 10/],
  [{ from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["10.0.0.0/8"] } }] }, /inside 10/],
  [{ from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["fd00::/64"] } }] }, /inside 10/],
  [{ from: [{ ipBlock: { cidr: "10.0.0.0/8", except: "10.0.0.0/9" } }] }, /except: want a list/],
  [{ from: Array(1e6).fill({ podSelector: {} }) }, /want at most 4096 items: got 1000000/],
  [{ ports: [{ protocol: "tcp" }] }, /protocol: want TCP or UDP or SCTP: got "tcp"/],
  [{ ports: [{ port: 0 }] }, /port: want 1 to 65535, or a port's name: got 0/],
  [{ ports: [{ port: 1e300 }] }, /port: want 1 to 65535/],
  [{ ports: [{ port: "80" }] }, /port: want 1 to 65535, or a port's name: got "80"/],
  [{ ports: [{ port: "a\u0000" }] }, /port: want/],
  [{ ports: [{ port: "sixteen-letters-" }] }, /port: want/],
  [{ ports: [{ port: 90, endPort: 80 }] }, /endPort: want a number from port/],
  [{ ports: [{ port: "http", endPort: 80 }] }, /endPort: want a number from port/],
  [{ ports: [{ endPort: 80 }] }, /endPort: want a number from port/],
  [{ ports: [{ port: 80 }, { prot: "UDP" }] }, /got "prot"/],
  [{ ports: 80 }, /ports: want a list: got 80/],
];
for (const [rule, expected] of faultyRules) {
  test(`the rule ${JSON.stringify(rule).slice(0, 70)} matches nothing, and its neighbour does`, () => {
    const { object, told } = read({ ingress: [rule, {}] });
    assert.deepEqual(object.ingress, [NOTHING, ANY]);
    assert.match(told.join("\n"), expected);
    assert.match(
      told.join("\n"),
      /spec\.ingress\[0\]: until it is mended the rule matches nothing/,
    );
  });
}

test("rules that are no list, or too many, let nothing more in", () => {
  assert.deepEqual(read({ ingress: "all" }).object.ingress, [NOTHING]);
  const { object, told } = read({ ingress: Array(1e6).fill({}) });
  assert.equal(object.ingress?.length, 1025);
  assert.deepEqual(object.ingress?.at(-1), NOTHING);
  assert.match(told.join(), /want at most 1024 rules: got 1000000/);
});

test("with a selector that cannot be read a policy selects its namespace and allows nobody", () => {
  for (const selector of ["web", { matchLabels: { app: 7 } }, { matchLabel: {} }, []]) {
    const { object, told } = read({ podSelector: selector, ingress: [{}], egress: [{}] });
    assert.deepEqual(object.podSelector, all);
    assert.deepEqual(pick(object), { ingress: [NOTHING], egress: [NOTHING] });
    assert.match(told.join("\n"), /selects all pods of its namespace/);
  }
});

test("without a name there is no policy", () => {
  assert.equal(parseNetworkPolicy({ metadata: { name: "a\u0000" } }).kind, "invalid");
});
