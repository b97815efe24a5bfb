import assert from "node:assert/strict";
import { test } from "node:test";

import { parseAddress } from "../lib/ip/address.ts";
import { cidrContains, parseCidr } from "../lib/ip/cidr.ts";
import {
  bridgeAddresses,
  clusterCidrs,
  describeClient,
  describeLoadBalancer,
  describeNode,
  describePod,
  loadBalancerCidrs,
  maximumNodes,
  maximumPodsPerNode,
  serviceCidrs,
  underlayAddresses,
  underlayNetwork,
} from "./topology.ts";

const families = ["ip", "ip6"] as const;
const numbers = [1, 2, 9, 10, 16, maximumNodes];

test("every address and prefix is canonical text, as the rest of the project compares it", () => {
  for (const family of families) {
    for (const number of numbers) {
      const node = describeNode("im-a", underlayNetwork(undefined), number);
      assert.equal(parseCidr(node.podCidrs[family]), node.podCidrs[family]);
      for (const pod of [1, 9, maximumPodsPerNode].map((k) => describePod("im-a", number, k))) {
        assert.equal(parseAddress(pod.addresses[family]), pod.addresses[family]);
      }
      assert.equal(parseAddress(node.addresses[family]), node.addresses[family]);
    }
    for (const cidrs of [clusterCidrs, serviceCidrs, loadBalancerCidrs]) {
      assert.equal(parseCidr(cidrs[family]), cidrs[family]);
    }
  }
});

test("pods lie in their node's range and the cluster's, and in no other", () => {
  for (const family of families) {
    for (const number of numbers) {
      const { podCidrs } = describeNode("im-a", underlayNetwork(undefined), number);
      const last = describePod("im-a", number, maximumPodsPerNode).addresses[family];
      assert(cidrContains(podCidrs[family], last));
      assert(cidrContains(podCidrs[family], bridgeAddresses(number)[family]));
      assert(cidrContains(clusterCidrs[family], last));
      assert(!cidrContains(serviceCidrs[family], last));
      assert(!cidrContains(loadBalancerCidrs[family], last));
    }
  }
});

test("nodes, client, load balancer and machine have different addresses on one network", () => {
  for (const network of [underlayNetwork(undefined), underlayNetwork(7)]) {
    for (const family of families) {
      const addresses = [
        ...numbers.map((number) => describeNode("im-a", network, number).addresses[family]),
        describeClient("im-a", network).addresses[family],
        describeLoadBalancer("im-a", network).addresses[family],
        underlayAddresses(network, 254)[family],
      ];
      assert.equal(new Set(addresses).size, addresses.length);
      for (const address of addresses) assert(cidrContains(network.cidrs[family], address));
    }
  }
});

test("a pod's interface on the node fits into the kernel's 15 bytes", () => {
  const pod = describePod("im-12345678", maximumNodes, maximumPodsPerNode);
  assert(pod.hostInterface.length <= 15);
});
