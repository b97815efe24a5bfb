// The policy tables as nft itself sees them, and what rtnetlink tells of where pods are.

import assert from "node:assert/strict";
import { test } from "node:test";
import { listLinks } from "../../lib/netlink/link.ts";
import { openNetlinkKernel } from "../../lib/nft/kernel.ts";
import { openCommandKernel } from "../../lib/nft/nft-command.ts";
import type { Transaction } from "../../lib/nft/objects.ts";
import { wholeTable } from "../../lib/nft/table-plan.ts";
import { readNodeNetwork } from "../../netpol-identity/apply/pod-interface.ts";
import { bindPods } from "../../netpol-identity/plan/guard-binding.ts";
import { planPolicyTables, policyRemoval } from "../../netpol-identity/plan/policy-table.ts";
import { sampleWorld } from "../../netpol-identity/plan/sample-policy-world.ts";
import { enterOwnNamespace, sh } from "./own-namespace.ts";

const OF_FRAMES = ["closed", "spoofed"];
const DENIED = ["ended", "held", "in", "out", "proven"].map((sort) => `denied-${sort}`);
const OF_PACKETS = ["closed", ...DENIED, "spoofed"];

enterOwnNamespace();

test("nft prints the tables as it reads them, but for what it does not know", async () => {
  for (const name of ["im2", "veth-a", "veth-b"]) {
    sh(`ip link add ${name} type veth peer name ${name === "im2" ? "im3" : `${name}-p`}`);
  }
  sh("ip link add cni0 type bridge");
  const world = sampleWorld(await listLinks());
  const transactions = planPolicyTables(world).flatMap(wholeTable).map(withoutTargets);
  const listings: string[] = [];
  for (const open of [() => openNetlinkKernel({ thread: "here" }), openCommandKernel]) {
    const kernel = await open();
    await kernel.commit(transactions);
    await kernel.close();
    listings.push(sh("nft list ruleset"));
  }
  assert.equal(listings[0], listings[1]);
  const kernel = await openNetlinkKernel({ thread: "here" });
  await kernel.commit(planPolicyTables(world).flatMap(wholeTable));
  assert.match(sh("nft list chain netdev innermesh-policy guard"), /@th,64,128|taddr/);
  for (const place of ["ip", "ip6", "netdev", "bridge"] as const) {
    const counters = await kernel.readCounters(place, "innermesh-policy");
    const names = place === "ip" || place === "ip6" ? OF_PACKETS : OF_FRAMES;
    assert.deepEqual([...counters.keys()].toSorted(), names);
    assert.deepEqual(new Set(counters.values()), new Set([0]));
  }
  await kernel.commit(policyRemoval());
  await kernel.commit(policyRemoval());
  await kernel.close();
  assert.equal(sh("nft list ruleset"), "");
});

test("a pod behind a route and one on a bridge are found, one elsewhere is not", async () => {
  const namespaces = [`im-ik-${process.pid}-a`, `im-ik-${process.pid}-b`] as const;
  for (const name of namespaces) sh(`ip netns add ${name}`);
  try {
    const [routed, bridged] = namespaces;
    sh(`ip link add routed type veth peer name eth0 netns ${routed}`);
    sh("ip link set routed up");
    sh("ip route add 10.71.9.2/32 dev routed");
    sh(`ip link add bridged type veth peer name eth0 netns ${bridged}`);
    sh("ip link set bridged master cni0");
    sh(`ip -n ${bridged} addr add 10.71.9.3/24 dev eth0`);
    sh(`ip -n ${bridged} addr add fd71:9::3/64 dev eth0`);
    sh(`ip -n ${bridged} addr add 10.71.9.4/24 dev lo`);
    const pods = [
      { uid: "a", addresses: ["10.71.9.2"], mode: "off" },
      { uid: "b", addresses: ["10.71.9.3", "fd71:9::3"], mode: "off" },
      { uid: "c", addresses: ["10.71.9.4"], mode: "off" },
    ] as const;
    const { bindings, problems } = bindPods(pods, await readNodeNetwork(), new Map());
    assert.deepEqual(
      bindings.map(({ address, link }) => [address, link.name]),
      [
        ["10.71.9.2", "routed"],
        ["10.71.9.3", "bridged"],
        ["fd71:9::3", "bridged"],
      ],
    );
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? "", /^Cannot bind pod address 10\.71\.9\.4: no host route/);
  } finally {
    for (const name of namespaces) sh(`ip netns delete ${name}`);
  }
});

/** nft 1.0.6 cannot read rules about the target of neighbour discovery. */
function withoutTargets(transaction: Transaction): Transaction {
  const changes = transaction.changes.filter(
    (change) => change.kind !== "add-rule" || !JSON.stringify(change.rule).includes("nd-target"),
  );
  return { ...transaction, changes };
}
