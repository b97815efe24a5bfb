import assert from "node:assert/strict";
import { test } from "node:test";
import { peersOf, SamplePolicies } from "./sample-policies.ts";

const POD = { matchLabels: { app: "web" } };

/** Selects web in shop; what labels say may come in. */
function labelWorld(): SamplePolicies {
  const world = new SamplePolicies();
  world.namespace("shop", { team: "a" });
  world.namespace("bank", { team: "b" });
  world.networkPolicy("shop/near", {
    podSelector: POD,
    ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: "a" } }, podSelector: {} }] }],
  });
  return world;
}

test("a pod has a set in the directions that policies speak about, and none without policies", () => {
  const world = labelWorld();
  const web = world.pod("shop/web", { labels: { app: "web" } });
  const [other, far] = [world.pod("shop/db"), world.pod("bank/web", { labels: { app: "web" } })];
  world.update();
  assert.deepEqual(world.set(web).network?.policies, ["NetworkPolicy shop/near"]);
  assert.equal(world.index.setOf(web, "egress"), undefined);
  assert.equal(world.index.setOf(other, "ingress"), undefined);
  assert.equal(world.index.setOf(far, "ingress"), undefined);
});

test("pods of their node's network and those that are over have no set and are in no group", () => {
  const world = labelWorld();
  const web = world.pod("shop/web", { labels: { app: "web" }, addresses: ["10.0.0.1"] });
  const [labels, addresses] = [{ app: "web" }, ["10.0.0.2"]];
  const host = world.pod("shop/host", { labels, addresses, hostNetwork: true });
  const over = world.pod("shop/over", { labels, addresses, phase: "Succeeded" });
  world.update();
  assert.equal(world.index.setOf(host, "ingress"), undefined);
  assert.equal(world.index.setOf(over, "ingress"), undefined);
  assert.deepEqual(world.members(web), ["10.0.0.1"]);
  world.pod("shop/web", { labels: { app: "web" }, addresses: ["10.0.0.1"], phase: "Failed" });
  assert.equal(world.update(), true);
  assert.deepEqual(world.members(web), []);
});

test("pods whose policies and ports are equal share one set, of the same name everywhere", () => {
  const make = (names: readonly string[]) => {
    const world = labelWorld();
    for (const name of names) {
      world.networkPolicy(`shop/${name}`, { podSelector: {}, policyTypes: ["Ingress"] });
    }
    const pods = ["a", "b"].map((name) => world.pod(`shop/${name}`, { labels: { app: "web" } }));
    world.update();
    return pods.map((pod) => world.set(pod));
  };
  const [one, two] = make(["x", "y"]);
  const [other] = make(["y", "x"]);
  assert.equal(one, two);
  assert.deepEqual(one, other);
  assert.match(one?.id ?? "", /^[0-9a-f]{16}$/);
  assert.notEqual(make(["x"])[0]?.id, one?.id);
});

test("groups follow pods that come, go, move and change, and namespaces", () => {
  const world = labelWorld();
  const web = world.pod("shop/web", { labels: { app: "web" } });
  world.update();
  assert.deepEqual(world.members(web), []);
  const one = world.pod("shop/one", { addresses: ["10.0.0.1", "fd00::1"] });
  world.pod("bank/two", { addresses: ["10.0.0.2"] });
  assert.equal(world.update(), true);
  assert.deepEqual(world.members(web), ["10.0.0.1", "fd00::1"]);
  world.namespace("bank", { team: "a" });
  assert.equal(world.update(), true);
  assert.deepEqual(world.members(web), ["10.0.0.1", "10.0.0.2", "fd00::1"]);
  world.pod("bank/two", { addresses: ["10.0.0.3"] });
  world.remove(one);
  assert.equal(world.update(), true);
  assert.deepEqual(world.members(web), ["10.0.0.3"]);
  world.namespace("bank", {});
  world.update();
  assert.deepEqual(world.members(web), []);
});

test("what did not change stays the same object, and an update without effect says so", () => {
  const world = labelWorld();
  const web = world.pod("shop/web", { labels: { app: "web" }, addresses: ["10.0.0.1"] });
  world.update();
  const before = world.set(web);
  const [group] = peersOf(before.network?.rules[0]).groups;
  const members = () => world.index.groups.addresses(group ?? "");
  const known = members();
  assert.equal(world.update(), false);
  world.pod("bank/far", { addresses: ["10.0.0.2"] });
  world.networkPolicy("bank/other", { podSelector: {} });
  assert.equal(world.update(), true);
  assert.equal(world.set(web), before);
  assert.equal(members(), known);
  // The kubelet writes a pod's status again and again.
  const revision = world.index.revision;
  const again = world.pod("shop/web", { labels: { app: "web" }, addresses: ["10.0.0.1"] });
  assert.equal(world.update(), false);
  assert.equal(world.index.revision, revision);
  assert.equal(world.set(again), before);
  assert.equal(members(), known);
});

test("a group that no policy asks for any more is forgotten", () => {
  const world = labelWorld();
  const web = world.pod("shop/web", { labels: { app: "web" }, addresses: ["10.0.0.1"] });
  world.update();
  const [group = ""] = peersOf(world.set(web).network?.rules[0]).groups;
  for (const port of [80, 81, 82]) {
    const ingress = [{ ports: [{ port }] }];
    world.networkPolicy("shop/near", { podSelector: POD, ingress });
    world.update();
    world.set(web);
  }
  assert.equal(world.index.groups.addresses(group), undefined);
});

test("a policy touches the pods that it selects, and a set goes with the last pod that has it", () => {
  const world = labelWorld();
  const labels = { app: "web" };
  const [web, db] = [world.pod("shop/web", { labels }), world.pod("shop/db")];
  const twin = world.pod("shop/twin", { labels });
  world.update();
  assert.deepEqual(world.index.others, []);
  const before = world.set(web);
  assert.equal(world.index.setOf(db, "ingress"), undefined);
  assert.equal(world.set(twin), before);
  const others = () => world.index.others.map(({ name }) => name);
  const put = (port: number) => {
    const ingress = [{ ports: [{ port }] }];
    world.networkPolicy("shop/more", { podSelector: POD, ingress });
    world.update();
    return others();
  };
  assert.deepEqual(put(80), ["web", "twin"]);
  assert.deepEqual(put(81), ["web", "twin"]);
  assert.deepEqual(put(81), []);
  const more = world.store.networkPolicies.get("shop/more");
  if (more !== undefined) world.remove(more);
  world.update();
  assert.deepEqual(others(), ["web", "twin"]);
  assert.deepEqual(world.set(web), before);
  assert.notEqual(world.set(web), before);
});

test("carriers of an identity are enrolled pods that run as it", () => {
  const world = new SamplePolicies();
  const egress = [{ to: [{ serviceAccounts: [{ name: "db" }] }] }];
  world.accountPolicy("shop/p", { podSelector: {}, policyTypes: ["Egress"], egress });
  const client = world.pod("shop/client");
  world.pod("shop/a", { account: "db", addresses: ["10.0.0.1"] });
  world.pod("shop/b", { account: "web", addresses: ["10.0.0.2"] });
  world.pod("bank/c", { account: "db", addresses: ["10.0.0.3"] });
  const everybody = (): boolean => true;
  world.update(everybody);
  const [group = ""] = peersOf(world.set(client, "egress").account?.rules[0]).identities;
  const carriers = () => world.index.carriers(group);
  const known = carriers();
  assert.deepEqual([...known], ["10.0.0.1"]);
  world.pod("bank/d", { account: "db", addresses: ["10.0.0.4"] });
  world.update(everybody);
  assert.equal(carriers(), known);
  world.pod("shop/e", { account: "db", addresses: ["10.0.0.5"] });
  assert.equal(world.update(everybody), true);
  assert.deepEqual([...carriers()].sort(), ["10.0.0.1", "10.0.0.5"]);
  assert.equal(
    world.update(({ name }) => name === "e"),
    true,
  );
  assert.deepEqual([...carriers()], ["10.0.0.5"]);
  assert.deepEqual([...world.index.carriers("i-unknown")], []);
});

test("nodes are chosen by labels, and domain names by what they were told to mean", () => {
  const world = new SamplePolicies();
  world.node("one", { zone: "a" }, "192.0.2.1");
  world.node("two", { zone: "b" }, "192.0.2.2");
  const pod = world.pod("shop/web");
  const egress = [
    { name: "n", action: "Accept", to: [{ nodes: { matchLabels: { zone: "a" } } }] },
    { name: "d", action: "Accept", to: [{ domainNames: ["example.com", "example.org"] }] },
  ];
  const subject = { namespaces: {} };
  world.clusterPolicy("out", { tier: "Admin", priority: 1, subject, egress });
  world.update();
  const members = (i: number) => world.among(world.set(pod, "egress").admin[i]);
  assert.deepEqual([members(0), members(1)], [["192.0.2.1"], []]);
  assert.deepEqual(world.index.domains, new Set(["example.com", "example.org"]));
  assert.equal(world.index.setDomainAddresses("example.org", new Set(["198.51.100.1"])), true);
  assert.equal(world.index.setDomainAddresses("example.org", new Set(["198.51.100.1"])), false);
  world.node("two", { zone: "a" }, "192.0.2.2");
  assert.equal(world.update(), true);
  assert.deepEqual([members(0), members(1)], [["192.0.2.1", "192.0.2.2"], ["198.51.100.1"]]);
});
