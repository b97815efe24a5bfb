import assert from "node:assert/strict";
import { test } from "node:test";
import { sampleSet } from "../evaluate/sample-set.ts";
import { gateWorld, otherIdentities } from "./gate-world.ts";
import { samplePod } from "./sample-cluster.ts";
import { NOBODY } from "./tunnel-plan.ts";
import { workloadAddresses } from "./workload-addresses.ts";

const IDENTITY = "spiffe://cluster.local/ns/shop/sa/web";
const GROUPS = { addresses: () => undefined, identities: () => undefined };

const AGENT = "spiffe://cluster.local/ns/kube-system/sa/innermesh-node";

const SETS = {
  ingress: sampleSet({ otherwise: "deny" }),
  egress: sampleSet({ direction: "egress", otherwise: "deny" }),
};

function world(...samples: readonly Parameters<typeof samplePod>[0][]) {
  const all = samples.map(samplePod);
  return gateWorld({
    owners: workloadAddresses(all),
    local: all.filter(({ nodeName }) => nodeName === "node-1"),
    index: {
      setOf: ({ name }, direction) => (name === "free" ? undefined : SETS[direction]),
      groups: GROUPS,
    },
    plan: {
      workloads: new Map([["10.0.1.9", { identity: NOBODY, ...WORKLOAD }]]),
      peers: new Map([["10.0.2.1", { identity: IDENTITY, uid: "" }]]),
      host: { identity: AGENT, ...WORKLOAD },
    },
    nodeAddresses: ["192.0.2.1", "192.0.2.9", "2001:db8::1"],
  });
}

const WORKLOAD = { uid: "", namespace: "", pod: "", mode: "strict" } as const;

test("pods of this node are clients by what they may call, others only servers", () => {
  const { pods, server } = world(
    { name: "web", addresses: ["10.0.1.1", "fd00::1"] },
    { name: "free", addresses: ["10.0.1.2"] },
    { name: "far", node: "node-2", addresses: ["10.0.2.1"] },
  );
  assert.deepEqual(Object.fromEntries(pods), {
    "10.0.1.1": { set: SETS.egress, identity: null },
    "fd00::1": { set: SETS.egress, identity: null },
    "10.0.1.2": { set: undefined, identity: null },
  });
  assert.deepEqual(server("10.0.2.1"), { set: SETS.ingress, identity: IDENTITY });
  assert.deepEqual(server("192.0.2.1"), { set: undefined, identity: null });
});

test("an address that several pods claim has what restricts one of them, and no identity", () => {
  const { pods, server } = world(
    { name: "free", addresses: ["10.0.1.9"] },
    { name: "far", node: "node-2", addresses: ["10.0.1.9"] },
  );
  assert.deepEqual(pods.get("10.0.1.9"), { set: SETS.egress, identity: null });
  assert.deepEqual(server("10.0.1.9"), { set: SETS.ingress, identity: null });
});

test("others see this node as its first address of a family, or by its agent's identity", () => {
  const { nodeAddress, nodeIdentity } = world();
  assert.equal(nodeIdentity, AGENT);
  assert.deepEqual([nodeAddress("ip"), nodeAddress("ip6")], ["192.0.2.1", "2001:db8::1"]);
});

test("addresses may prove another identity where a plan has it anew, otherwise or no more", () => {
  const peer = (identity: string) => ({ identity, uid: "" });
  const workloads = new Map([["10.0.1.9", { identity: IDENTITY, ...WORKLOAD }]]);
  const before = {
    workloads,
    peers: new Map([
      ["10.0.2.1", peer(IDENTITY)],
      ["10.0.2.2", peer(IDENTITY)],
      ["10.0.2.3", peer(IDENTITY)],
    ]),
  };
  const peers = new Map([
    ["10.0.2.1", peer(AGENT)],
    ["10.0.2.3", peer(IDENTITY)],
    ["10.0.2.4", peer(IDENTITY)],
  ]);
  assert.deepEqual([...otherIdentities(before, { workloads, peers })].sort(), [
    "10.0.2.1",
    "10.0.2.2",
    "10.0.2.4",
  ]);
  assert.deepEqual(
    otherIdentities(before, { ...before, workloads: new Map() }),
    new Set(["10.0.1.9"]),
  );
});
