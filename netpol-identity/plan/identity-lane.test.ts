import assert from "node:assert/strict";
import { test } from "node:test";
import { hasIdentities } from "./identity-lane.ts";
import { sampleAgent, SampleCluster } from "./sample-cluster.ts";
import { TunnelPlanner } from "./tunnel-planner.ts";

const settings = { nodeName: "node-1", trustDomain: "cluster.local", meshDefault: "off" } as const;

function answer(cluster: SampleCluster): boolean {
  cluster.store.put(sampleAgent("node-2"));
  const plan = new TunnelPlanner(cluster.store, settings).plan(0);
  return hasIdentities(plan, cluster.store.slicesOf("shop/cart"));
}

const far = { name: "far", node: "node-2", addresses: ["10.71.2.2"] };
const near = { name: "near", addresses: ["10.71.1.2"] };
const client = { name: "client", serviceAccount: "client", addresses: ["10.71.1.3"] };

test("a Service has identities where a pod here and an endpoint are enrolled", () => {
  for (const [endpoint, address] of [
    [far, "10.71.2.2"],
    [near, "10.71.1.2"],
  ] as const) {
    const cluster = new SampleCluster().labelNamespace("shop", "permissive");
    cluster.putPods(endpoint, client).putService("shop/cart", undefined, [address]);
    assert.equal(answer(cluster), true, address);
  }
});

test("it has none where no pod here could prove itself", () => {
  const cluster = new SampleCluster().labelNamespace("shop", "permissive");
  cluster.putPods(far).putService("shop/cart", undefined, ["10.71.2.2"]);
  assert.equal(answer(cluster), false);
});

test("a node that has an identity may call an endpoint elsewhere by itself", () => {
  const cluster = new SampleCluster().labelNamespace("shop", "permissive");
  cluster.store.put(sampleAgent("node-1"));
  cluster.putPods(far).putService("shop/cart", undefined, ["10.71.2.2"]);
  assert.equal(answer(cluster), true);
});

test("it has none where no endpoint is enrolled", () => {
  const cluster = new SampleCluster().labelServiceAccount("shop/client", "strict");
  cluster.putPods(far, client).putService("shop/cart", undefined, ["10.71.2.2"]);
  assert.equal(answer(cluster), false);
});
