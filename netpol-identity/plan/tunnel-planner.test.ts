import assert from "node:assert/strict";
import { test } from "node:test";
import { LEAVING_MS } from "./leaving-pods.ts";
import { REMEMBERED_MS } from "./peer-nodes.ts";
import { SampleCluster, sampleAgent } from "./sample-cluster.ts";
import { TunnelPlanner } from "./tunnel-planner.ts";

const SETTINGS = { nodeName: "node-1", trustDomain: "cluster.local", meshDefault: "off" } as const;
const HERE = "10.0.1.1";
const THERE = "10.0.2.1";

function makeWorld() {
  const cluster = new SampleCluster().putPods(
    { name: "a", addresses: [HERE] },
    { name: "b", node: "node-2", addresses: [THERE] },
  );
  cluster.store.put(sampleAgent("node-2"));
  return { cluster, planner: new TunnelPlanner(cluster.store, SETTINGS) };
}

test("what says nothing of identities leaves the plan as it is", () => {
  const { cluster, planner } = makeWorld();
  cluster.labelNamespace("shop", "permissive");
  const plan = planner.plan(0);
  cluster.putService("shop/other", undefined, [HERE]);
  const after = planner.plan(1);
  assert.deepEqual(after, plan);
  cluster.putService("shop/other", undefined, [HERE, THERE]);
  assert.equal(planner.plan(2), after, "a slice of a Service without the label");
});

test("labels that come and go enrol and un-enrol", () => {
  const { cluster, planner } = makeWorld();
  let nowMs = 0;
  const modes = (): readonly unknown[] => {
    planner.plan(nowMs);
    nowMs += LEAVING_MS;
    const { workloads, peers } = planner.plan(nowMs);
    return [workloads.get(HERE)?.mode, peers.size];
  };
  assert.deepEqual(modes(), [undefined, 0]);
  cluster.labelNamespace("shop", "permissive");
  assert.deepEqual(modes(), ["permissive", 1]);
  cluster.labelServiceAccount("shop/web", "strict");
  assert.deepEqual(modes(), ["strict", 1]);
  cluster.putService("shop/web", "off", [HERE]);
  assert.deepEqual(modes(), [undefined, 1]);
  cluster.putService("shop/web", "off", [THERE]);
  assert.deepEqual(modes(), ["strict", 0]);
  cluster.store.remove("Service", "shop/web");
  cluster.store.remove("ServiceAccount", "shop/web");
  cluster.store.remove("Namespace", "shop");
  assert.deepEqual(modes(), [undefined, 0]);
});

test("a pod that leaves the mesh is served for a while, and reached by tunnel no more", () => {
  const { cluster, planner } = makeWorld();
  cluster.labelNamespace("shop", "strict");
  planner.plan(0);
  cluster.labelNamespace("shop", undefined);
  const modes = (nowMs: number): readonly unknown[] => {
    const { workloads, peers } = planner.plan(nowMs);
    return [workloads.get(HERE)?.mode, peers.size];
  };
  assert.deepEqual(modes(1_000), ["leaving", 0]);
  assert.equal(planner.nextMs, 1_000 + LEAVING_MS);
  cluster.labelServiceAccount("shop/other", "strict");
  assert.deepEqual(modes(planner.nextMs - 1), ["leaving", 0]);
  assert.deepEqual(modes(planner.nextMs), [undefined, 0]);
  assert.equal(planner.nextMs, Infinity);
  cluster.labelNamespace("shop", "permissive");
  assert.deepEqual(modes(20_000), ["permissive", 1]);
  cluster.labelNamespace("shop", "off");
  assert.deepEqual(modes(21_000), ["leaving", 0]);
  cluster.labelNamespace("shop", "permissive");
  assert.deepEqual(modes(22_000), ["permissive", 1], "it is back before it has left");
  cluster.labelNamespace("shop", "off");
  cluster.store.remove("Pod", "shop/a");
  assert.deepEqual(modes(23_000), [undefined, 0], "who is gone is not leaving");
});

test("pods that come and go do so in the next plan", () => {
  const { cluster, planner } = makeWorld();
  cluster.labelNamespace("shop", "permissive");
  assert.equal(planner.plan(0).workloads.size, 1);
  cluster.store.remove("Pod", "shop/a");
  const { workloads, identities } = planner.plan(0);
  assert.deepEqual([workloads.size, identities.size], [0, 0]);
});

test("T24: a node that lost its agent is plain only when its time has come", () => {
  const { cluster, planner } = makeWorld();
  cluster.labelNamespace("shop", "permissive");
  planner.plan(0);
  assert.equal(planner.nextMs, Infinity);
  cluster.store.remove("Pod", "kube-system/agent-node-2");
  assert.equal(planner.plan(1_000).peers.size, 1);
  assert.equal(planner.nextMs, 1_000 + REMEMBERED_MS);
  assert.equal(planner.plan(planner.nextMs - 1).peers.size, 1);
  assert.equal(planner.plan(planner.nextMs).peers.size, 0);
});
