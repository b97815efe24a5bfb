// Worlds of two or three pods, and what is answered about them.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Pod } from "../../lib/kube/api/pod.ts";
import { answerCan, type CanAnswer, type CanEnd, type CanQuestion } from "./can.ts";
import { PolicyIndex } from "./policy-index.ts";
import { SamplePolicies } from "./sample-policies.ts";

const FRONT = "spiffe://cluster.local/ns/shop/sa/front";
const PAY = "spiffe://cluster.local/ns/shop/sa/pay";

class World {
  readonly objects = new SamplePolicies();
  readonly front: Pod;
  readonly pay: Pod;

  constructor() {
    this.objects.namespace("shop");
    this.objects.account("shop/front");
    this.objects.account("shop/batch");
    const labels = { app: "client" };
    this.front = this.objects.pod("shop/front", {
      addresses: ["10.0.0.1"],
      account: "front",
      labels,
    });
    this.pay = this.objects.pod("shop/pay", { addresses: ["10.0.0.9"], account: "pay" });
  }

  can(more: Partial<CanQuestion> = {}): CanAnswer {
    const index = new PolicyIndex({ trustDomain: "cluster.local" });
    index.update(this.objects.store, () => true);
    return answerCan(index, {
      client: end(this.front),
      server: end(this.pay),
      protocol: "TCP",
      port: 8080,
      ...more,
    });
  }

  /** Both are enrolled. */
  proven(more: Partial<CanQuestion> = {}): CanAnswer {
    const client = { ...end(this.front), identity: FRONT };
    return this.can({ client, server: { ...end(this.pay), identity: PAY }, ...more });
  }
}

function end(pod: Pod): CanEnd {
  const [address = ""] = pod.addresses;
  return { address, pod };
}

const request = (method: string, path: string) => ({
  method,
  path,
  host: "pay",
  header: () => undefined,
});

describe("answerCan", () => {
  test("without policies everything is allowed, by addresses", () => {
    const { verdict, rule, lane, identity, ingress } = new World().can();
    assert.deepEqual(
      { verdict, rule, lane, identity },
      { verdict: "allow", rule: "no policy selects it", lane: "kernel", identity: null },
    );
    assert.deepEqual(ingress?.policies, []);
  });
  test("the side that denies is named, egress first, with all that select each pod", () => {
    const world = new World();
    world.objects.networkPolicy("shop/in", { podSelector: {}, policyTypes: ["Ingress"] });
    const denied = world.can();
    assert.equal(denied.by, "ingress");
    assert.match(denied.rule, /^no rule of NetworkPolicy shop\/in matches/);
    assert.deepEqual(denied.egress?.policies, []);
    assert.deepEqual(denied.ingress?.policies, ["NetworkPolicy shop/in"]);
    world.objects.networkPolicy("shop/out", { podSelector: {}, policyTypes: ["Egress"] });
    assert.equal(world.can().by, "egress");
  });
  test("an identity counts where both are enrolled, and over TCP alone", () => {
    const world = new World();
    world.objects.accountPolicy("shop/pay", {
      serviceAccounts: ["pay"],
      ingress: [{ from: [{ serviceAccounts: [{ name: "front" }] }] }],
    });
    const { verdict, lane, identity, rule } = world.proven();
    assert.deepEqual(
      { verdict, lane, identity },
      { verdict: "allow", lane: "tunnel", identity: FRONT },
    );
    assert.match(rule, /^ServiceAccountPolicy shop\/pay ingress\[0\]/);
    assert.equal(world.proven({ protocol: "UDP" }).verdict, "deny");
    const plain = world.can({ client: { ...end(world.front), identity: FRONT } });
    assert.deepEqual([plain.verdict, plain.lane, plain.identity], ["deny", "closed", null]);
  });
  test("a strict pod takes nothing but tunnels, save from its own node and itself", () => {
    const world = new World();
    const server = { ...end(world.pay), identity: PAY, isStrict: true };
    assert.match(world.can({ server }).rule, /^shop\/pay is strict/);
    assert.equal(world.proven({ server }).verdict, "allow");
    assert.equal(world.can({ server, client: server }).verdict, "allow");
    const host = { address: "192.168.0.1", node: "node-1" };
    assert.deepEqual(pick(world.can({ server, client: host })), ["allow", "host"]);
    assert.equal(world.can({ server, client: { ...host, node: "node-2" } }).verdict, "deny");
  });
  test("a pod reaches its own node unless the cluster's admin denies it", () => {
    const world = new World();
    const server = { address: "192.168.0.1", node: "node-1" };
    world.objects.networkPolicy("shop/out", { podSelector: {}, policyTypes: ["Egress"] });
    const free = world.can({ server });
    assert.deepEqual([free.verdict, free.rule], ["allow", "a pod reaches its own node"]);
    assert.equal(world.can({ server: { ...server, node: "node-2" } }).verdict, "deny");
    world.objects.clusterPolicy("nodes", {
      tier: "Admin",
      priority: 1,
      subject: { namespaces: {} },
      egress: [{ name: "none", action: "Deny", to: [{ networks: ["192.168.0.0/24"] }] }],
    });
    const cut = world.can({ server });
    assert.deepEqual([cut.verdict, cut.by, cut.lane], ["deny", "egress", "host"]);
    assert.match(cut.rule, /nodes/);
  });
  test("rules about requests leave it open until there is one", () => {
    const world = new World();
    world.objects.accountPolicy("shop/pay", {
      serviceAccounts: ["pay"],
      ingress: [{ http: [{ methods: ["GET"], path: { type: "Prefix", value: "/charge" } }] }],
    });
    assert.deepEqual(pick(world.proven()), ["open", "tunnel"]);
    assert.equal(world.proven({ request: request("GET", "/charge/1") }).verdict, "allow");
    assert.equal(world.proven({ request: request("POST", "/charge/1") }).verdict, "deny");
  });
  test("a port that workers judge is closed to plaintext, unless a lane of its node leads there", () => {
    const world = new World();
    world.objects.accountPolicy("shop/pay", {
      serviceAccounts: ["pay"],
      ingress: [{ http: [{ methods: ["GET"] }] }],
    });
    const asked = { request: request("GET", "/") };
    const closed = world.can(asked);
    assert.deepEqual(pick(closed), ["deny", "closed"]);
    assert.match(closed.rule, /close port 8080 of shop\/pay to plaintext, and shop\/front comes/);
    assert.deepEqual(pick(world.can({ ...asked, isProxied: true })), ["allow", "worker"]);
  });
  test("a node reaches its pods, and a pod its node, whatever policies say", () => {
    const world = new World();
    const policyTypes = ["Ingress", "Egress"];
    world.objects.networkPolicy("shop/closed", { podSelector: {}, policyTypes });
    const node = { address: "192.168.0.1", node: "node-1" };
    assert.deepEqual(pick(world.can({ client: node })), ["allow", "host"]);
    assert.deepEqual(pick(world.can({ server: node })), ["allow", "host"]);
    const other = { ...node, node: "node-2" };
    assert.equal(world.can({ server: other }).by, "egress");
  });
  test("somebody who is no pod is judged by the other end alone", () => {
    const world = new World();
    const client = { address: "9.9.9.9" };
    const { egress, verdict } = world.can({ client });
    assert.deepEqual([egress, verdict], [undefined, "allow"]);
    assert.equal(world.can({ client, server: client }).rule, "neither end is a pod");
  });
  test("audits are told, and decide nothing", () => {
    const world = new World();
    world.objects.accountPolicy("shop/audit", {
      podSelector: {},
      action: "Audit",
      ingress: [{ from: [{ podSelector: {} }] }],
    });
    const { verdict, ingress } = world.can();
    assert.equal(verdict, "allow");
    assert.deepEqual(ingress?.audits, ["ServiceAccountPolicy shop/audit ingress[0]"]);
  });
});

function pick({ verdict, lane }: CanAnswer): readonly string[] {
  return [verdict, lane];
}
