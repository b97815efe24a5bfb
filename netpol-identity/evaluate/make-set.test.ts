import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../lib/kube/api/pod.ts";
import { peersOf, SamplePolicies } from "./sample-policies.ts";

const POD = { matchLabels: { app: "web" } };

test("a named port of what comes in is a number of the pod itself", () => {
  const world = new SamplePolicies();
  const ports = [{ port: "http" }, { port: "http", protocol: "UDP" }];
  world.networkPolicy("shop/p", { podSelector: {}, ingress: [{ ports }] });
  const [a, b] = [8_080, 9_090].map((http, i) => world.pod(`shop/${i}`, { ports: { http } }));
  const none = world.pod("shop/none");
  world.update();
  assert.ok(a !== undefined && b !== undefined);
  const http = { protocol: "TCP", first: 8_080, last: 8_080 };
  assert.deepEqual(world.set(a).network?.rules[0]?.ports, [http]);
  assert.notEqual(world.set(a).id, world.set(b).id);
  assert.deepEqual(world.set(none).network?.rules, []);
  assert.deepEqual(world.set(none).network?.policies, ["NetworkPolicy shop/p"]);
});

test("a named port of what goes out is a rule for each number that pods have under the name", () => {
  const world = new SamplePolicies();
  const egress = [{ ports: [{ port: "http" }], to: [{ podSelector: POD }] }];
  world.networkPolicy("shop/p", { podSelector: {}, policyTypes: ["Egress"], egress });
  const client = world.pod("shop/client", { addresses: ["10.0.0.9"], ports: { http: 80 } });
  const put = (name: string, port: number, address: string) =>
    world.pod(`shop/${name}`, {
      labels: { app: "web" },
      addresses: [address],
      ports: { http: port },
    });
  put("a", 8_080, "10.0.0.1");
  put("b", 8_080, "10.0.0.2");
  put("c", 9_090, "10.0.0.3");
  world.update();
  const rules = () =>
    world
      .set(client, "egress")
      .network?.rules.map((rule) => [rule.ports, world.among(rule)] as const)
      .map(([ports, members]) => `${ports === "any" || ports[0]?.first} ${members.join()}`);
  assert.deepEqual(rules(), ["8080 10.0.0.1,10.0.0.2", "9090 10.0.0.3"]);
  put("c", 7_070, "10.0.0.3");
  assert.equal(world.update(), true);
  assert.deepEqual(rules(), ["7070 10.0.0.3", "8080 10.0.0.1,10.0.0.2"]);
  const before = world.set(client, "egress");
  put("c", 8_080, "10.0.0.3");
  put("d", 7_070, "10.0.0.4");
  world.update();
  assert.deepEqual(rules(), ["7070 10.0.0.4", "8080 10.0.0.1,10.0.0.2,10.0.0.3"]);
  assert.equal(world.set(client, "egress"), before);
});

test("a named port of what goes out reaches pods alone, in blocks and by identity too", () => {
  const world = new SamplePolicies();
  const policy = (name: string, to: readonly unknown[] | undefined) => {
    const egress = [{ ports: [{ port: "http" }], ...(to && { to }) }];
    const spec = { podSelector: { matchLabels: { p: name } }, policyTypes: ["Egress"], egress };
    world.accountPolicy(`shop/${name}`, spec);
    return world.pod(`shop/${name}`, { labels: { p: name } });
  };
  const any = policy("any", undefined);
  const block = policy("block", [{ ipBlock: { cidr: "10.0.0.0/31" } }]);
  const identity = policy("identity", [{ serviceAccounts: [{ name: "db" }] }]);
  const foreign = policy("foreign", [
    { serviceAccounts: [{ name: "db", trustDomain: "b.example" }] },
  ]);
  world.pod("shop/a", { addresses: ["10.0.0.1"], ports: { http: 80 } });
  world.pod("shop/b", { addresses: ["10.0.0.2"], ports: { http: 80 } });
  world.pod("shop/c", { addresses: ["10.0.0.3"], ports: { http: 81 }, account: "db" });
  world.update();
  const rules = (pod: Pod) => world.set(pod, "egress").account?.rules ?? [];
  assert.deepEqual(
    rules(any).map((rule) => world.among(rule)),
    [["10.0.0.1", "10.0.0.2"], ["10.0.0.3"]],
  );
  assert.deepEqual(
    rules(block).flatMap((rule) => world.among(rule)),
    ["10.0.0.1"],
  );
  const [only, ...others] = rules(identity);
  assert.deepEqual([only?.ports, others], [[{ protocol: "TCP", first: 81, last: 81 }], []]);
  assert.equal(peersOf(only).identities.length, 1);
  assert.deepEqual(rules(foreign), []);
});

test("ports of rules about identities and requests are proven, and those of audits are not", () => {
  const world = new SamplePolicies();
  const pod = world.pod("shop/web", { labels: { app: "web" } });
  const put = (key: string, action: string, rule: object) =>
    world.accountPolicy(key, { podSelector: POD, action, ingress: [rule] });
  const from = [{ serviceAccounts: [{ name: "web" }] }];
  put("shop/a", "Allow", { from, ports: [{ port: 80 }, { port: 53, protocol: "UDP" }] });
  put("shop/b", "Deny", { from, ports: [{ port: 81, endPort: 90 }] });
  put("shop/c", "Allow", { http: [{ methods: ["GET"] }], ports: [{ port: 443 }] });
  put("shop/d", "Audit", { from });
  put("shop/e", "Allow", { from: [{ podSelector: {} }] });
  world.update();
  assert.deepEqual(world.set(pod).provenPorts, [
    { protocol: "TCP", first: 80, last: 90 },
    { protocol: "TCP", first: 443, last: 443 },
    { protocol: "UDP", first: 53, last: 53 },
  ]);
  assert.deepEqual(
    world.set(pod).audits.map(({ name }) => name),
    ["ServiceAccountPolicy shop/d ingress[0]"],
  );
});

test("the mesh's default holds for all but the excepted, and asks identities of clients alone", () => {
  const world = new SamplePolicies();
  world.namespace("shop", { team: "a" });
  const web = world.pod("shop/web");
  const free = world.pod("free/web");
  const exceptions = [{ namespaces: ["free"] }];
  world.meshPolicy({ default: "IdentityRequired", exceptions });
  world.update();
  assert.equal(world.set(web).otherwise, "identity-required");
  assert.deepEqual(world.set(web).provenPorts, [{ protocol: "TCP", first: 1, last: 65_535 }]);
  assert.equal(world.index.setOf(web, "egress"), undefined);
  assert.equal(world.index.setOf(free, "ingress"), undefined);
  world.meshPolicy({
    default: "Deny",
    exceptions: [{ namespaceSelector: { matchLabels: { team: "a" } } }],
  });
  assert.equal(world.update(), true);
  assert.equal(world.index.setOf(web, "ingress"), undefined);
  assert.equal(world.set(free, "egress").otherwise, "deny");
  world.namespace("shop", {});
  assert.equal(world.update(), true);
  assert.equal(world.set(web).otherwise, "deny");
});

test("admins' policies stand by priority, whatever their names", () => {
  const world = new SamplePolicies();
  const pod = world.pod("shop/web");
  for (const [name, priority] of [
    ["a", 9],
    ["b", 1],
    ["c", 10],
  ] as const) {
    const ingress = [{ name, action: "Deny", from: [{ namespaces: {} }] }];
    world.clusterPolicy(name, { tier: "Admin", priority, subject: { namespaces: {} }, ingress });
  }
  world.update();
  const names = world.set(pod).admin.map(({ name }) => name.slice(-1));
  assert.deepEqual(names, ["b", "a", "c"]);
});

test("identities are chosen by name and by the labels of accounts and namespaces", () => {
  const world = new SamplePolicies();
  world.namespace("shop", { team: "a" });
  world.account("shop/web", { tier: "front" });
  world.account("shop/db");
  world.account("bank/web", { tier: "front" });
  const pod = world.pod("shop/pod");
  const members = (...serviceAccounts: readonly object[]): readonly string[] => {
    const ingress = [{ from: [{ serviceAccounts }] }];
    world.accountPolicy("shop/p", { podSelector: {}, ingress });
    world.update();
    const { identities } = peersOf(world.set(pod).account?.rules[0]);
    const all = identities.flatMap((id) => [...(world.index.groups.identities(id) ?? [])]);
    return all.map((uri) => uri.replace("spiffe://", "")).sort();
  };
  const front = { matchLabels: { tier: "front" } };
  const team = { matchLabels: { team: "a" } };
  assert.deepEqual(members({ name: "web" }), ["cluster.local/ns/shop/sa/web"]);
  assert.deepEqual(members({ name: "web", namespace: "bank" }), ["cluster.local/ns/bank/sa/web"]);
  assert.deepEqual(members({}), ["cluster.local/ns/shop/sa/*"]);
  assert.deepEqual(members({ namespaceSelector: {} }), ["cluster.local/ns/*/sa/*"]);
  assert.deepEqual(members({ namespaceSelector: {}, name: "web" }), ["cluster.local/ns/*/sa/web"]);
  assert.deepEqual(members({ namespaceSelector: team, name: "x" }), ["cluster.local/ns/shop/sa/x"]);
  assert.deepEqual(members({ selector: front }), ["cluster.local/ns/shop/sa/web"]);
  assert.deepEqual(members({ namespaceSelector: {}, selector: front }), [
    "cluster.local/ns/bank/sa/web",
    "cluster.local/ns/shop/sa/web",
  ]);
  assert.deepEqual(members({ namespaceSelector: {}, selector: front, name: "db" }), []);
  assert.deepEqual(members({ trustDomain: "b.example", namespace: "n", name: "w" }), [
    "b.example/ns/n/sa/w",
  ]);
  world.account("shop/db", { tier: "front" });
  assert.deepEqual(members({ selector: front }), [
    "cluster.local/ns/shop/sa/db",
    "cluster.local/ns/shop/sa/web",
  ]);
});

test("names that are words of the language are names like others", () => {
  const world = new SamplePolicies();
  const labels = { constructor: "yes" };
  const web = world.pod("constructor/constructor", { labels, account: "constructor" });
  world.pod("constructor/other", { addresses: ["10.0.0.1"], labels, ports: { constructor: 80 } });
  world.networkPolicy("constructor/p", {
    podSelector: { matchLabels: labels },
    ingress: [
      { from: [{ podSelector: { matchExpressions: [{ key: "toString", operator: "Exists" }] } }] },
    ],
    egress: [{ ports: [{ port: "constructor" }] }],
    policyTypes: ["Ingress", "Egress"],
  });
  world.update();
  assert.deepEqual(world.members(web), []);
  assert.deepEqual(world.members(web, "egress"), ["10.0.0.1"]);
});
