import assert from "node:assert/strict";
import { test } from "node:test";
import { blocksPort, findEngines, type ForeignTraces, portBlocks } from "./policy-engines.ts";

const NOTHING: ForeignTraces = { tables: [], chains: [], links: [], cniFiles: [] };
const TRACES: readonly (readonly [Partial<ForeignTraces>, RegExp])[] = [
  [{ tables: ["inet kube-network-policies"] }, /^kube-network-policies \(table inet kube-/],
  [{ tables: ["ip calico"], chains: ["cali-FORWARD"] }, /^Calico \(table ip calico\)$/],
  [{ chains: ["cali-tw-1"] }, /^Calico \(chain/],
  [{ chains: ["KUBE-NWPLCY-DEFAULT"] }, /^kube-router/],
  [{ chains: ["WEAVE-NPC-INGRESS"] }, /^Weave Net/],
  [{ chains: ["ANTREA-FORWARD"] }, /^Antrea/],
  [{ chains: ["CILIUM_FORWARD"] }, /^Cilium/],
  [{ links: ["lo", "cilium_host"] }, /^Cilium \(interface cilium_host\)$/],
  [{ links: ["cali12ab34cd56e"] }, /^Calico/],
  [{ links: ["ovn-k8s-mp0"] }, /^OVN-Kubernetes/],
  [{ cniFiles: ["10-calico.conflist"] }, /^Calico \(\/etc\/cni\/net\.d 10-calico/],
];

test("each engine is known by its traces, and named once", () => {
  for (const [traces, says] of TRACES) {
    const found = findEngines({ ...NOTHING, ...traces });
    assert.equal(found.length, 1, JSON.stringify(traces));
    assert.match(found[0] ?? "", says);
  }
});

test("a node with only ours, kube-proxy's and a plain CNI's has none", () => {
  const plain: ForeignTraces = {
    tables: ["ip innermesh-policy", "ip kube-proxy", "ip filter"],
    chains: ["KUBE-SERVICES", "FORWARD", "CNI-ADMIN", "FLANNEL-FWD"],
    links: ["lo", "eth0", "cni0", "flannel.1", "veth1234"],
    cniFiles: ["10-flannel.conflist"],
  };
  assert.deepEqual(findEngines(plain), []);
});

test("rules of nft that deny a port are found by number, list and range", () => {
  const rule = (right: unknown, verdict: object, op = "==") => ({
    rule: {
      family: "inet",
      table: "host",
      chain: "input",
      expr: [
        { match: { op, left: { payload: { protocol: "tcp", field: "dport" } }, right } },
        verdict,
      ],
    },
  });
  const blocks = (...rules: object[]) =>
    portBlocks({ nftables: [{ metainfo: {} }, ...rules] }, 15_008);
  for (const right of [15_008, { set: [22, 15_008] }, { range: [15_000, 16_000] }]) {
    assert.deepEqual(blocks(rule(right, { drop: null })), ["inet host input"]);
  }
  assert.deepEqual(blocks(rule(15_008, { reject: {} })), ["inet host input"]);
  assert.deepEqual(blocks(rule(15_008, { accept: null }), rule(22, { drop: null })), []);
  assert.deepEqual(blocks(rule(22, { drop: null }, "!=")), []);
});

test("rules of iptables that deny a port are found, too", () => {
  assert.equal(blocksPort("-p tcp -m tcp --dport 15008 -j DROP", 15_008), true);
  assert.equal(blocksPort("-p tcp -m multiport --dports 22,15000:15010 -j REJECT", 15_008), true);
  assert.equal(blocksPort("-p tcp -m tcp --dport 15008 -j ACCEPT", 15_008), false);
  assert.equal(blocksPort("-p tcp -m tcp --dport 22 -j DROP", 15_008), false);
  assert.equal(blocksPort("-j DROP", 15_008), false);
});
