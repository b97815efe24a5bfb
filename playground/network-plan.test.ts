import assert from "node:assert/strict";
import { test } from "node:test";

import { planCluster } from "./cluster-plan.ts";
import { mergePlans, type NetworkPlan } from "./network-plan.ts";
import { planPod } from "./pod-plan.ts";
import {
  type CniShape,
  describeClient,
  describeLoadBalancer,
  describeNode,
  describePod,
  underlayNetwork,
} from "./topology.ts";

function planExample(cni: CniShape, hostLink = false): NetworkPlan {
  const network = underlayNetwork(hostLink ? 3 : undefined);
  const nodes = [1, 2].map((number) => ({ ...describeNode("im-a", network, number), pods: [] }));
  return planCluster({
    prefix: "im-a",
    network,
    cni,
    client: describeClient("im-a", network),
    loadBalancer: describeLoadBalancer("im-a", network),
    nodes,
    hostLink,
  });
}

test("without a link to the machine, no command touches the root namespace", () => {
  const { links, setups } = planExample("bridge");
  for (const { netns } of setups) assert.notEqual(netns, undefined);
  for (const link of links) assert.equal(link.match(/ netns /g)?.length, isBridge(link) ? 1 : 2);
});

test("a linked machine gets one address, no route, and a guard against foreign sources", () => {
  const { links, setups } = planExample("routed", true);
  assert.equal(
    links.filter((line) => !isBridge(line) && line.match(/ netns /g)?.length === 1).length,
    1,
  );
  const machine = setups.find(({ netns }) => netns === undefined);
  assert.deepEqual(machine?.ip, [
    "link set im-a-up addrgenmode none",
    "addr add 198.18.3.254/24 dev im-a-up",
    "link set im-a-up up",
  ]);
  const underlay = setups.find(({ netns }) => netns === "im-a-underlay");
  assert.match(underlay?.nft ?? "", /ip saddr != 198\.18\.3\.0\/24 drop/);
});

test("each node routes to the other nodes' pods and to nothing of its own", () => {
  const { setups } = planExample("routed");
  const routes = setups
    .find(({ netns }) => netns === "im-a-node-1")
    ?.ip.filter((line) => line.startsWith("route"));
  assert.deepEqual(routes, [
    "route add default via 192.168.77.1",
    "route add default via fd77::1",
    "route add 10.71.2.0/24 via 192.168.77.12",
    "route add fd71:0:0:2::/64 via fd77::c",
  ]);
});

test("IPv6 addresses skip duplicate detection, so that they answer at once", () => {
  for (const cni of ["routed", "bridge"] as const) {
    const node = { netns: "im-a-node-1", number: 1 };
    const { setups } = mergePlans([
      planExample(cni),
      planPod(node, describePod("im-a", 1, 1), cni),
    ]);
    const lines = setups
      .flatMap(({ ip }) => ip)
      .filter((line) => /^addr add [0-9a-f]*:/.test(line));
    assert(lines.length > 0);
    for (const line of lines) assert.match(line, / nodad$/);
  }
});

test("merging sets each namespace up once, its cluster part first", () => {
  const node = { netns: "im-a-node-1", number: 1 };
  const pods = [1, 2].map((number) => planPod(node, describePod("im-a", 1, number), "bridge"));
  const { namespaces, setups } = mergePlans([planExample("bridge"), ...pods]);
  assert.equal(new Set(setups.map(({ netns }) => netns)).size, setups.length);
  assert.deepEqual(new Set(setups.map(({ netns }) => netns)), new Set(namespaces));
  const ip = setups.find(({ netns }) => netns === "im-a-node-1")?.ip ?? [];
  assert(ip.indexOf("link set cni0 up") < ip.indexOf("link set veth-1-2 master cni0 up"));
});

function isBridge(link: string): boolean {
  return link.includes("type bridge");
}
