import assert from "node:assert/strict";
import { test } from "node:test";
import { readOk } from "./sample-faults.ts";
import {
  parseServiceAccountPolicy,
  type ServiceAccountPolicy,
  type ServiceAccountPolicyRule,
} from "./service-account-policy.ts";

const metadata = { namespace: "shop", name: "web", uid: "u", resourceVersion: "7", generation: 3 };
const web = { matchLabels: { app: "web" }, matchExpressions: [] };
const all = { matchLabels: {}, matchExpressions: [] };
const selector = { matchLabels: { app: "web" } };
const ANY = { name: "", peers: "any", ports: "any" };
const NOTHING = { name: "", peers: [], ports: [] };

interface Read {
  readonly object: ServiceAccountPolicy;
  readonly told: readonly string[];
}

function read(spec: object): Read {
  return readOk(parseServiceAccountPolicy({ metadata, spec: { podSelector: {}, ...spec } }));
}

function readRule(rule: object): ServiceAccountPolicyRule | undefined {
  const { object, told } = read({ ingress: [rule] });
  assert.deepEqual(told, []);
  return object.ingress?.[0];
}

test("a policy allows unless it says otherwise, and is about pods and ServiceAccounts", () => {
  const spec = { podSelector: selector, serviceAccounts: ["web", "api"] };
  const { object, told } = read(spec);
  assert.deepEqual(told, []);
  assert.deepEqual(object, {
    kind: "ServiceAccountPolicy",
    ...metadata,
    action: "Allow",
    podSelector: web,
    serviceAccounts: ["web", "api"],
    ingress: [],
  });
  assert.equal(read({ action: "Audit" }).object.action, "Audit");
  const accounts = read({ podSelector: null, serviceAccounts: ["web"] });
  assert.deepEqual([accounts.object.podSelector, accounts.told], [all, []]);
});

test("directions are those of a NetworkPolicy", () => {
  const { object } = read({ egress: [{ to: [{ podSelector: {} }] }] });
  assert.deepEqual(object.ingress, []);
  assert.equal(object.egress?.length, 1);
  assert.equal(read({ policyTypes: ["Egress"] }).object.ingress, undefined);
});

const accounts: readonly (readonly [object, object])[] = [
  [{ name: "front" }, { name: "front", namespaces: "shop", selector: all }],
  [
    { name: "front", namespace: "a" },
    { name: "front", namespaces: "a", selector: all },
  ],
  [{ namespace: "a" }, { namespaces: "a", selector: all }],
  [{ namespaceSelector: {} }, { namespaces: all, selector: all }],
  [
    { namespaceSelector: selector, selector },
    { namespaces: web, selector: web },
  ],
  [
    { name: "front", namespace: "a", trustDomain: "east.example" },
    { name: "front", namespaces: "a", trustDomain: "east.example", selector: all },
  ],
];
for (const [account, expected] of accounts) {
  test(`the account ${JSON.stringify(account)} is read`, () => {
    const rule = readRule({ name: "r", from: [{ serviceAccounts: [account] }] });
    const peers = [{ kind: "accounts", accounts: [expected] }];
    assert.deepEqual(rule, { name: "r", peers, ports: "any" });
  });
}

const requests: readonly (readonly [object, object])[] = [
  [{ http: [{ methods: ["GET", "M-SEARCH"] }] }, { methods: ["GET", "M-SEARCH"] }],
  [
    { http: [{ path: { type: "Exact", value: "/a/" } }] },
    { path: { kind: "exact", value: "/a/" } },
  ],
  [
    { http: [{ path: { type: "Prefix", value: "/a/" } }] },
    { path: { kind: "prefix", value: "/a" } },
  ],
  [{ http: [{ path: { type: "Prefix", value: "/" } }] }, { path: { kind: "prefix", value: "/" } }],
  [
    { http: [{ path: { type: "Template", value: "/users/{*}/orders/{**}" } }] },
    { path: { kind: "template", value: "/users/{*}/orders/{**}" } },
  ],
  [{ http: [{ hosts: ["*.example.com"] }] }, { hosts: ["*.example.com"] }],
  [
    { http: [{ headers: [{ name: "X-User" }, { name: "x-tier", value: "gold" }] }] },
    { headers: [{ name: "x-user" }, { name: "x-tier", value: "gold" }] },
  ],
  [
    { grpc: [{ service: "shop.Prices" }] },
    { methods: ["POST"], path: { kind: "prefix", value: "/shop.Prices" } },
  ],
  [
    { grpc: [{ service: "shop.Prices", method: "Get" }] },
    { methods: ["POST"], path: { kind: "exact", value: "/shop.Prices/Get" } },
  ],
];
for (const [rule, expected] of requests) {
  test(`the request ${JSON.stringify(rule)} is read`, () => {
    assert.deepEqual(readRule(rule), { ...ANY, requests: [expected] });
  });
}

const faulty: readonly (readonly [unknown, RegExp])[] = [
  [null, /want an object: got null/],
  [{ froms: [] }, /got "froms"/],
  [{ from: [{ serviceAccounts: [] }] }, /serviceAccounts: want at least one item/],
  [{ from: [{ serviceAccounts: {} }] }, /serviceAccounts: want a list/],
  [{ from: [{ serviceAccounts: [{ name: "a" }], podSelector: {} }] }, /got "podSelector"/],
  [{ from: [{}] }, /got none/],
  [{ from: [{ serviceAccounts: ["front"] }] }, /want an object: got "front"/],
  [{ from: [{ serviceAccounts: [{ name: "a/b" }] }] }, /name: want a name/],
  [{ from: [{ serviceAccounts: [{ name: "a", cluster: "east" }] }] }, /got "cluster"/],
  [{ from: [{ serviceAccounts: [{ namespace: "*" }] }] }, /namespace: want a name/],
  [{ from: [{ serviceAccounts: [{ namespace: "a", namespaceSelector: {} }] }] }, /got both/],
  [{ from: [{ serviceAccounts: [{ trustDomain: "spiffe://x" }] }] }, /trustDomain: want a name/],
  [{ from: [{ serviceAccounts: [{ trustDomain: "x", selector }] }] }, /labels are not known there/],
  [{ from: [{ serviceAccounts: [{ selector: "x" }] }] }, /selector: want an object/],
  [{ http: [] }, /http: want at least one/],
  [{ http: [{}] }, /want a condition/],
  [{ http: [{ methods: [] }] }, /methods: want at least one/],
  [{ http: [{ methods: ["get"] }] }, /methods\[0\]: want a method/],
  [{ http: [{ method: "GET" }] }, /got "method"/],
  [{ http: [{ path: { value: "/a" } }] }, /type: want Exact or Prefix or Template/],
  [{ http: [{ path: { type: "Exact", value: "/a/../b" } }] }, /want a path/],
  [{ http: [{ path: { type: "Exact", value: "/a/{*}" } }] }, /want a path/],
  [{ http: [{ path: { type: "Template", value: "/{**}/a" } }] }, /want a path like/],
  [{ http: [{ path: { type: "Template", value: "/a{*}" } }] }, /want a path like/],
  [{ http: [{ hosts: ["a.example:80"] }] }, /hosts\[0\]: want/],
  [{ http: [{ headers: [{ name: "a b" }] }] }, /name: want a header's name/],
  [{ http: [{ headers: [{ name: "a", value: "x\r\ny" }] }] }, /value: want/],
  [{ grpc: [{ method: "Get" }] }, /service: want/],
  [{ grpc: [{ service: "a/b" }] }, /service: want/],
  [{ grpc: [{ service: "a", method: "*" }] }, /method: want/],
  [{ http: [{ methods: ["GET"] }], ports: [{ protocol: "UDP" }] }, /want TCP ports alone/],
];
for (const [rule, expected] of faulty) {
  test(`the rule ${JSON.stringify(rule).slice(0, 70)} allows nobody, and denies everybody`, () => {
    const { object, told } = read({ ingress: [rule, {}] });
    assert.deepEqual(object.ingress, [NOTHING, ANY]);
    assert.match(told.join("\n"), expected);
    assert.deepEqual(read({ action: "Deny", ingress: [rule] }).object.ingress, [ANY]);
    assert.deepEqual(read({ action: "Audit", ingress: [rule] }).object.ingress, [NOTHING]);
  });
}

test("rules about what goes out know no requests", () => {
  const { object, told } = read({ egress: [{ http: [{ methods: ["GET"] }] }] });
  assert.deepEqual(object.egress, [NOTHING]);
  assert.match(told.join(), /got "http"/);
});

test("rules of a Deny that are no list, or too many, deny everything", () => {
  assert.deepEqual(read({ action: "Deny", ingress: "all" }).object.ingress, [ANY]);
  const many = read({ action: "Deny", ingress: Array(2000).fill({ ports: [{ port: 1 }] }) });
  assert.deepEqual(many.object.ingress?.at(-1), ANY);
});

test("a subject that cannot be read is the namespace, and its rules allow nobody", () => {
  const subjects = [
    { podSelector: undefined },
    { podSelector: "web" },
    { podSelector: { matchLabels: { a: 1 } } },
    { serviceAccounts: [] },
    { serviceAccounts: ["a", "B"] },
    { serviceAccounts: "web" },
  ];
  for (const subject of subjects) {
    const { object, told } = read({ ...subject, ingress: [{}] });
    assert.deepEqual(object.podSelector, all);
    assert.equal(object.serviceAccounts, undefined);
    assert.deepEqual(object.ingress, [NOTHING]);
    assert.match(told.join("\n"), /selects all pods of its namespace/);
    const deny = read({ ...subject, action: "Deny", ingress: [{ ports: [{ port: 1 }] }] });
    assert.deepEqual(deny.object.ingress, [ANY]);
  }
});

test("an action that cannot be read allows nobody", () => {
  const { object, told } = read({ action: "allow", ingress: [{}] });
  assert.deepEqual([object.action, object.ingress], ["Allow", [NOTHING]]);
  assert.match(told.join("\n"), /spec\.action: want Allow or Deny or Audit: got "allow"/);
});
