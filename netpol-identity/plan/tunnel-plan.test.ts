// Who has which address and who is reached how. F15 and T24 as far as a plan can hold them.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { EnrolmentMode } from "../model/enrolment.ts";
import { readEnrolmentLabels } from "./enrolment.ts";
import type { UnsupportedAddresses } from "./guard-binding.ts";
import { nextPeerNodes } from "./peer-nodes.ts";
import { SampleCluster, type SamplePod, sampleAgent, samplePod } from "./sample-cluster.ts";
import { makeTunnelPlan, NOBODY, type TunnelPlan } from "./tunnel-plan.ts";

interface World {
  readonly pods: readonly SamplePod[];
  readonly agentsOn?: readonly string[];
  readonly meshDefault?: EnrolmentMode;
  readonly leavingUids?: readonly string[];
  readonly unsupported?: UnsupportedAddresses;
}

const planOf = makeTunnelPlan("cluster.local");

function planned({
  pods,
  agentsOn = ["node-2"],
  meshDefault = "permissive",
  leavingUids = [],
  unsupported = new Map(),
}: World): TunnelPlan {
  const all = [...pods.map(samplePod), ...agentsOn.map(sampleAgent)];
  const { store } = new SampleCluster();
  const labels = readEnrolmentLabels(store, meshDefault);
  const peerNodes = nextPeerNodes(new Map(), all, 0);
  const leaving = new Map(leavingUids.map((uid) => [uid, 1]));
  return planOf({ nodeName: "node-1", pods: all, labels, peerNodes, leaving, unsupported });
}

const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const HERE = "10.0.1.1";
const THERE = "10.0.2.1";

test("a pod of this node is a workload at each of its addresses, one elsewhere is a peer", () => {
  const { workloads, peers, identities, problems } = planned({
    pods: [
      { name: "a", addresses: [HERE, "fd00:1::1"] },
      { name: "b", node: "node-2", serviceAccount: "db", addresses: [THERE] },
    ],
  });
  const face = { identity: WEB, namespace: "shop", pod: "a", uid: "uid-a", mode: "permissive" };
  assert.deepEqual(Object.fromEntries(workloads), { [HERE]: face, "fd00:1::1": face });
  const peer = { identity: "spiffe://cluster.local/ns/shop/sa/db", uid: "uid-b" };
  assert.deepEqual(Object.fromEntries(peers), { [THERE]: peer });
  assert.deepEqual([...identities], [WEB]);
  assert.deepEqual(problems, []);
});

test("nobody that is not enrolled is in a plan", () => {
  const pods = [
    { name: "a", addresses: [HERE] },
    { name: "b", node: "node-2", addresses: [THERE] },
  ];
  const { workloads, peers, identities } = planned({ pods, meshDefault: "off" });
  assert.deepEqual([workloads.size, peers.size, identities.size], [0, 0, 0]);
});

test("a pod that is leaving is served as a permissive one, and keeps its key", () => {
  const { workloads, identities, policy } = planned({
    pods: [{ name: "a", addresses: [HERE] }],
    meshDefault: "off",
    leavingUids: ["uid-a"],
  });
  assert.equal(workloads.get(HERE)?.mode, "leaving");
  assert.deepEqual([...identities], [WEB]);
  assert.deepEqual(policy.pods, [{ uid: "uid-a", addresses: [HERE], mode: "permissive" }]);
});

test("pods of the host's network and those that are over own no address", () => {
  const { workloads, identities } = planned({
    pods: [
      { name: "a", addresses: [HERE], hostNetwork: true },
      { name: "b", addresses: [HERE], phase: "Succeeded" },
      { name: "c", addresses: [HERE], phase: "Failed" },
    ],
  });
  assert.deepEqual([workloads.size, identities.size], [0, 0]);
});

test("F15: an address is the new pod's alone once the old one is over", () => {
  const { workloads } = planned({
    pods: [
      { name: "old", addresses: [HERE], phase: "Succeeded" },
      { name: "new", addresses: [HERE], serviceAccount: "db" },
    ],
  });
  assert.equal(workloads.get(HERE)?.uid, "uid-new");
  assert.equal(workloads.get(HERE)?.identity, "spiffe://cluster.local/ns/shop/sa/db");
});

test("F15: an address that live pods claim together has no identity, here nor elsewhere", () => {
  for (const [nodes, isHere] of [
    [["node-1", "node-1"], true],
    [["node-1", "node-2"], true],
    [["node-2", "node-2"], false],
    [["node-2", "node-2", "node-2"], false],
  ] as const) {
    const pods = nodes.map((node, i) => ({ name: `p-${i}`, node, addresses: [HERE] }));
    const { workloads, peers, problems } = planned({ pods });
    const found = isHere ? workloads.get(HERE) : peers.get(HERE);
    assert.equal(found?.identity, NOBODY);
    assert.equal(workloads.size + peers.size, 1);
    if (isHere) assert.equal(workloads.get(HERE)?.mode, "strict", "nothing passes in plaintext");
    assert.match(problems[0]?.message ?? "", /Pod shop\/p-0 and Pod shop\/p-1.* claim 10\.0\.1\.1/);
  }
});

test("claims among pods that are not enrolled close nothing and are nobody's business", () => {
  const pods = ["a", "b"].map((name) => ({ name, addresses: [HERE] }));
  const { workloads, peers, problems } = planned({ pods, meshDefault: "off" });
  assert.deepEqual([workloads.size, peers.size, problems.length], [0, 0, 0]);
});

test("nobody's name is in no certificate and asks for no key", () => {
  const pods = ["a", "b"].map((name) => ({ name, addresses: [HERE] }));
  const { identities } = planned({ pods });
  assert.deepEqual([...identities], [WEB]);
});

test("a permissive pod on a node without an agent is reached as before", () => {
  const pods = [{ name: "b", node: "node-3", addresses: [THERE] }];
  const { peers, problems } = planned({ pods });
  assert.deepEqual([peers.size, problems.length], [0, 0]);
});

test("T24: a strict pod is reached by tunnel or not at all, and its node is told of", () => {
  const pods = ["b", "c", "d", "e"].map((name, i) => {
    return { name, node: "node-3", addresses: [`10.0.3.${i + 1}`] };
  });
  const { peers, problems } = planned({ pods, meshDefault: "strict" });
  assert.equal(peers.size, 4);
  assert.deepEqual(
    problems.map(({ object, message }) => [object, message.includes("Pod shop/d and 1 more")]),
    [["Node node-3", true]],
  );
});

test("a pod of ambient's is reached by tunnel whatever its node, and is no workload here", () => {
  const { workloads, peers, identities } = planned({
    pods: [
      { name: "a", addresses: [HERE], isAmbient: true },
      { name: "b", node: "node-3", addresses: [THERE], isAmbient: true },
    ],
  });
  assert.equal(workloads.size, 0);
  assert.deepEqual([...peers.keys()], [HERE, THERE]);
  assert.equal(identities.size, 0, "its keys are elsewhere");
});

test("a key is asked for before the pod has an address", () => {
  const { workloads, identities } = planned({ pods: [{ name: "a", phase: "Pending" }] });
  assert.deepEqual([workloads.size, [...identities]], [0, [WEB]]);
});

test("the kernel is told of every pod here with its mode, and of every peer with its own", () => {
  const { policy } = planned({
    pods: [
      { name: "a", addresses: [HERE] },
      { name: "b", addresses: ["10.0.1.2"], isAmbient: true },
      { name: "c" },
      { name: "d", addresses: ["10.0.1.3", "fd00::3"] },
      { name: "e", node: "node-2", addresses: ["10.0.1.3"] },
      { name: "f", node: "node-2", addresses: [THERE] },
      { name: "g", hostNetwork: true, addresses: ["10.0.1.4"] },
    ],
  });
  assert.deepEqual(policy.pods, [
    { uid: "uid-a", addresses: [HERE], mode: "permissive" },
    { uid: "uid-b", addresses: ["10.0.1.2"], mode: "off" },
    // Another claims one of its addresses: nothing in plaintext until that is settled.
    { uid: "uid-d", addresses: ["10.0.1.3", "fd00::3"], mode: "strict" },
  ]);
  assert.deepEqual(policy.peers, [
    { address: "10.0.1.2", mode: "permissive" },
    { address: THERE, mode: "permissive" },
  ]);
});

test("the kernel is told of pods that are not enrolled too: they may not lie either", () => {
  const pods = [{ name: "a", addresses: [HERE] }];
  const { policy } = planned({ pods, meshDefault: "off" });
  assert.deepEqual(policy.pods, [{ uid: "uid-a", addresses: [HERE], mode: "off" }]);
  assert.deepEqual(policy.peers, []);
});

test("processes of a node have its agent's identity, and call enrolled pods of other nodes", () => {
  const far = { name: "b", node: "node-2", addresses: [THERE] };
  const ambient = { name: "c", addresses: ["10.0.1.9"], isAmbient: true };
  const { host, identities, policy } = planned({
    pods: [{ name: "a", addresses: [HERE] }, far, ambient],
    agentsOn: ["node-1", "node-2"],
  });
  const identity = "spiffe://cluster.local/ns/kube-system/sa/innermesh-node";
  assert.equal(host?.identity, identity);
  assert.deepEqual([...identities], [WEB, identity]);
  assert.deepEqual(policy.hostCalls, [THERE]);
  assert.equal(policy.peers.length, 2);
});

test("a node's identity is proven where somebody elsewhere is enrolled, and not before", () => {
  const { host, identities } = planned({ pods: [], agentsOn: ["node-1"] });
  assert.notEqual(host, undefined);
  assert.equal(identities.size, 0);
});

test("where the agent is no pod, the node has no identity; while it is replaced, it has", () => {
  const far = { name: "b", node: "node-2", addresses: [THERE] };
  const { host, policy } = planned({ pods: [far] });
  assert.deepEqual([host, policy.hostCalls], [undefined, []]);
  const labels = readEnrolmentLabels(new SampleCluster().store, "permissive");
  const plan = makeTunnelPlan("cluster.local");
  const agents = [sampleAgent("node-1"), sampleAgent("node-2")];
  const peerNodes = nextPeerNodes(new Map(), agents, 0);
  const shared = { nodeName: "node-1", labels, peerNodes, leaving: new Map() };
  const before = plan({ ...shared, pods: agents });
  const meanwhile = plan({ ...shared, pods: agents.slice(1) });
  assert.notEqual(before.host, undefined);
  assert.equal(meanwhile.host, before.host);
  const gone = plan({ ...shared, peerNodes: new Map(), pods: [] });
  assert.equal(gone.host, undefined);
});

test("T8: labels change nothing about an identity", () => {
  const labels = { "app.kubernetes.io/name": "db", "spiffe.io/id": "spiffe://evil" };
  const { workloads } = planned({ pods: [{ name: "a", addresses: [HERE], labels }] });
  assert.equal(workloads.get(HERE)?.identity, WEB);
});

test("an unchanged pod has the same value in every plan", () => {
  const pods = [
    samplePod({ name: "a", addresses: [HERE] }),
    samplePod({ name: "b", node: "node-2", addresses: [THERE] }),
    sampleAgent("node-2"),
  ];
  const labels = readEnrolmentLabels(new SampleCluster().store, "permissive");
  const peerNodes = nextPeerNodes(new Map(), pods, 0);
  const [first, second] = [0, 1].map(() =>
    planOf({ nodeName: "node-1", pods, labels, peerNodes, leaving: new Map() }),
  );
  assert.equal(first?.workloads.get(HERE), second?.workloads.get(HERE));
  assert.equal(first?.peers.get(THERE), second?.peers.get(THERE));
});

test("where nothing proves who has an address, nobody has an identity there", () => {
  const world = {
    pods: [{ name: "a", addresses: [HERE] }],
    unsupported: new Map([[HERE, { uid: "uid-a", why: "its route leads to mv0" }]]),
  };
  const permissive = planned(world);
  assert.deepEqual([permissive.workloads.size, permissive.identities.size], [0, 0]);
  const [problem] = permissive.problems;
  assert.equal(problem?.object, "Pod shop/a");
  assert.match(problem?.message ?? "", /no identity at 10\.0\.1\.1, .*: its route leads to mv0$/);
  const strict = planned({ ...world, meshDefault: "strict" });
  assert.equal(strict.workloads.get(HERE)?.identity, NOBODY);
  assert.deepEqual(strict.policy.pods, [{ uid: "uid-a", addresses: [HERE], mode: "strict" }]);
});

test("what is said of one pod's address does not hold for its next owner", () => {
  const { workloads, problems } = planned({
    pods: [{ name: "b", addresses: [HERE] }],
    unsupported: new Map([[HERE, { uid: "uid-a", why: "its route leads to mv0" }]]),
  });
  assert.equal(workloads.get(HERE)?.identity, WEB);
  assert.deepEqual(problems, []);
});
