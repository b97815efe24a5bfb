import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../lib/kube/api/pod.ts";
import { forgetsAtMs, nextPeerNodes, type PeerNodes, REMEMBERED_MS } from "./peer-nodes.ts";
import { sampleAgent, samplePod } from "./sample-cluster.ts";

const NONE: PeerNodes = new Map();
const AGENT = sampleAgent("node-2");

function has(nodes: PeerNodes): boolean {
  return nodes.has("node-2");
}

test("a node takes tunnels from the moment that an agent is scheduled there", () => {
  assert.ok(has(nextPeerNodes(NONE, [AGENT], 0)));
  const pending = { ...AGENT, addresses: [] };
  assert.ok(has(nextPeerNodes(NONE, [pending], 0)));
});

test("T24: an agent that is replaced makes nobody fall back to plaintext", () => {
  let nodes = nextPeerNodes(NONE, [AGENT], 0);
  nodes = nextPeerNodes(nodes, [], 5_000_000);
  assert.ok(has(nodes), "gone just now, however long ago it was last looked for");
  nodes = nextPeerNodes(nodes, [], 5_000_000 + REMEMBERED_MS - 1);
  assert.ok(has(nodes));
  nodes = nextPeerNodes(nodes, [AGENT], 5_000_000 + REMEMBERED_MS);
  assert.ok(has(nodes));
  assert.equal(forgetsAtMs(nodes), Infinity, "it is back: the count begins anew");
});

test("ten minutes after its last agent a node is plain", () => {
  const present = nextPeerNodes(NONE, [AGENT], 0);
  const gone = nextPeerNodes(present, [], 1_000);
  assert.equal(forgetsAtMs(gone), 1_000 + REMEMBERED_MS);
  assert.ok(!has(nextPeerNodes(gone, [], 1_000 + REMEMBERED_MS)));
});

test("an agent that is over counts as gone", () => {
  const nodes = nextPeerNodes(NONE, [AGENT], 0);
  const after = nextPeerNodes(nodes, [{ ...AGENT, isOver: true }], 1);
  assert.equal(forgetsAtMs(after), 1 + REMEMBERED_MS);
});

test("a tenant's pod with the agent's label makes no node take tunnels", () => {
  const { labels } = AGENT;
  const tenants: readonly Pod[] = [
    samplePod({ name: "p", node: "node-2", labels }),
    samplePod({ name: "q", node: "", labels, hostNetwork: true }),
    samplePod({ name: "r", node: "node-2", hostNetwork: true }),
  ];
  assert.equal(nextPeerNodes(NONE, tenants, 0).size, 0);
});

test("nothing new gives the same value", () => {
  const nodes = nextPeerNodes(NONE, [AGENT], 0);
  assert.equal(nextPeerNodes(nodes, [sampleAgent("node-2")], 1), nodes);
  const gone = nextPeerNodes(nodes, [], 2);
  assert.equal(nextPeerNodes(gone, [], 3), gone);
});
