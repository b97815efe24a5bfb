// Who lives in a playground and under which names and addresses. Pure: the same options always
// give the same cluster, so tests may write addresses down.
//
// All ranges exist only inside network namespaces; none of them is routed from the machine.

import assert from "node:assert/strict";

import type { Address } from "../lib/ip/address.ts";
import type { Cidr } from "../lib/ip/cidr.ts";

/** How pods are wired to their node: one routed veth each, or all on the bridge `cni0`. */
export type CniShape = "routed" | "bridge";

/** One value per address family. */
export interface AddressPair {
  readonly ip: Address;
  readonly ip6: Address;
}

/** One prefix per address family. */
export interface CidrPair {
  readonly ip: Cidr;
  readonly ip6: Cidr;
}

/** Anything with a network namespace of its own and one address per family. */
export interface PlaygroundHost {
  readonly name: string;
  /** As `ip netns list` shows it. */
  readonly netns: string;
  readonly addresses: AddressPair;
}

export interface PlaygroundPod extends PlaygroundHost {
  /** Name of the node it runs on. */
  readonly node: string;
  /** 1-based on its node; decides the addresses. */
  readonly number: number;
  /** The node's end of the pod's veth pair. */
  readonly hostInterface: string;
}

export interface PlaygroundNode extends PlaygroundHost {
  /** 1-based. */
  readonly number: number;
  readonly podCidrs: CidrPair;
  /** Sorted by arrival; changes with `addPod` and `removePod`. */
  readonly pods: readonly PlaygroundPod[];
}

/** Every pod of every node lies in it: what `--cluster-cidr` wants. */
export const clusterCidrs: CidrPair = { ip: "10.71.0.0/16", ip6: "fd71::/48" };
/** ClusterIPs belong here. */
export const serviceCidrs: CidrPair = { ip: "10.96.0.0/16", ip6: "fd96::/112" };
/** Load balancer VIPs and external IPs belong here: outside the service range, on no interface. */
export const loadBalancerCidrs: CidrPair = { ip: "203.0.113.0/24", ip6: "2001:db8:113::/112" };
/** What pods see as their router on a routed veth; never an address of the node. */
export const routedGateways: AddressPair = { ip: "169.254.1.1", ip6: "fe80::1" };

export const maximumNodes = 100;
export const maximumPodsPerNode = 200;

/** The network that nodes, client, load balancer (and, when linked, the machine) share. */
export interface UnderlayNetwork {
  readonly cidrs: CidrPair;
  /** Prepended to a host number. */
  readonly prefixes: { readonly ip: string; readonly ip6: string };
}

/**
 * The shared network. A playground linked to the root namespace needs a range of its own there,
 * hence the number.
 * @param hostSubnet 0–255: which /24 of 198.18.0.0/16 (RFC 2544); undefined: not linked
 */
export function underlayNetwork(hostSubnet: number | undefined): UnderlayNetwork {
  const prefix = hostSubnet === undefined ? "192.168.77." : `198.18.${hostSubnet}.`;
  return {
    cidrs: { ip: `${prefix}0/24`, ip6: "fd77::/64" },
    prefixes: { ip: prefix, ip6: "fd77::" },
  };
}

/** The n-th address of the underlay: 1 load balancer, 2 client, 10+n node n, 254 the machine. */
export function underlayAddresses(network: UnderlayNetwork, number: number): AddressPair {
  return {
    ip: `${network.prefixes.ip}${number}`,
    ip6: `${network.prefixes.ip6}${number.toString(16)}`,
  };
}

/** Namespace of the switch. */
export function underlayNetns(prefix: string): string {
  return `${prefix}-underlay`;
}

/** The outside host that clients of the cluster sit on. */
export function describeClient(prefix: string, network: UnderlayNetwork): PlaygroundHost {
  return {
    name: "client",
    netns: `${prefix}-client`,
    addresses: underlayAddresses(network, 2),
  };
}

/** The outside router that announces VIPs; every node's default route leads to it. */
export function describeLoadBalancer(prefix: string, network: UnderlayNetwork): PlaygroundHost {
  return {
    name: "lb",
    netns: `${prefix}-lb`,
    addresses: underlayAddresses(network, 1),
  };
}

/** Node n without pods. `node-1` owns 10.71.1.0/24 and fd71:0:0:1::/64. */
export function describeNode(
  prefix: string,
  network: UnderlayNetwork,
  number: number,
): Omit<PlaygroundNode, "pods"> {
  assert(number >= 1 && number <= maximumNodes, `node number ${number} is out of range`);
  return {
    name: `node-${number}`,
    number,
    netns: `${prefix}-node-${number}`,
    addresses: underlayAddresses(network, 10 + number),
    podCidrs: { ip: `10.71.${number}.0/24`, ip6: `fd71:0:0:${number.toString(16)}::/64` },
  };
}

/** Pod k of node n: `pod-n-k` with host part k + 1 (1 is the bridge's own address). */
export function describePod(prefix: string, nodeNumber: number, number: number): PlaygroundPod {
  assert(number >= 1 && number <= maximumPodsPerNode, `pod number ${number} is out of range`);
  return {
    name: `pod-${nodeNumber}-${number}`,
    node: `node-${nodeNumber}`,
    number,
    netns: `${prefix}-pod-${nodeNumber}-${number}`,
    hostInterface: `veth-${nodeNumber}-${number}`,
    addresses: podAddresses(nodeNumber, number + 1),
  };
}

/** Address of `cni0` on a bridged node, which is also its pods' router. */
export function bridgeAddresses(nodeNumber: number): AddressPair {
  return podAddresses(nodeNumber, 1);
}

function podAddresses(nodeNumber: number, host: number): AddressPair {
  return {
    ip: `10.71.${nodeNumber}.${host}`,
    ip6: `fd71:0:0:${nodeNumber.toString(16)}::${host.toString(16)}`,
  };
}
