// Wires everything but pods: the switch, the outsiders, the nodes, and the machine when linked.

import { defaultRoutes, type NamespaceSetup, type NetworkPlan } from "./network-plan.ts";
import {
  type AddressPair,
  bridgeAddresses,
  type CniShape,
  type PlaygroundHost,
  type PlaygroundNode,
  type UnderlayNetwork,
  underlayAddresses,
  underlayNetns,
} from "./topology.ts";

/** The machine's own end of the link into a playground: unique on the machine, 15 bytes at most. */
export function hostInterfaceName(prefix: string): string {
  return `${prefix}-up`;
}

export interface ClusterDescription {
  readonly prefix: string;
  readonly network: UnderlayNetwork;
  readonly cni: CniShape;
  readonly client: PlaygroundHost;
  readonly loadBalancer: PlaygroundHost;
  readonly nodes: readonly PlaygroundNode[];
  /** Whether the root namespace gets an interface on the underlay. */
  readonly hostLink: boolean;
}

/** Plans everything but pods. */
export function planCluster(cluster: ClusterDescription): NetworkPlan {
  const hosts = [cluster.client, cluster.loadBalancer, ...cluster.nodes];
  const underlay = underlayNetns(cluster.prefix);
  const links = [
    // First, so that no port shares its index with the eth0 at its other end: the kernel takes
    // such a pair for one device and may let a second pass before it reports the carrier.
    `link add name br0 netns ${underlay} type bridge stp_state 0 mcast_snooping 0`,
    ...hosts.map(
      ({ name, netns }) =>
        `link add name eth0 netns ${netns} type veth peer name ${name} netns ${underlay}`,
    ),
  ];
  const setups = [
    planSwitch(cluster, hosts),
    planOutsider(cluster.client, cluster.nodes),
    planOutsider(cluster.loadBalancer, cluster.nodes, routerSysctls),
    ...cluster.nodes.map((node) => planNode(node, cluster)),
  ];
  if (cluster.hostLink) {
    const name = hostInterfaceName(cluster.prefix);
    links.push(`link add name ${name} type veth peer name machine netns ${underlay}`);
    const { ip } = underlayAddresses(cluster.network, 254);
    const commands = [
      `link set ${name} addrgenmode none`,
      `addr add ${ip}/24 dev ${name}`,
      `link set ${name} up`,
    ];
    setups.push({ netns: undefined, sysctls: [], ip: commands, nft: "" });
  }
  return { namespaces: [underlay, ...hosts.map(({ netns }) => netns)], links, setups };
}

const routerSysctls = [
  "net.ipv4.ip_forward=1",
  "net.ipv6.conf.all.forwarding=1",
  // The effective value is the larger of `all` and the interface's. Loose, as distributions ship.
  "net.ipv4.conf.*.rp_filter=2",
  // A VIP comes and leaves by the same interface; a redirect would teach hosts a way around it.
  "net.ipv4.conf.*.send_redirects=0",
  "net.ipv4.conf.*.accept_redirects=0",
];

/** What Kubernetes asks of a bridged node: without it same-bridge packets pass unseen. */
const bridgeSysctls = [
  "net.bridge.bridge-nf-call-iptables=1",
  "net.bridge.bridge-nf-call-ip6tables=1",
];

function planSwitch(cluster: ClusterDescription, hosts: readonly PlaygroundHost[]): NamespaceSetup {
  const ports = hosts.map(({ name }) => name).concat(cluster.hostLink ? ["machine"] : []);
  return {
    netns: underlayNetns(cluster.prefix),
    // A switch has no conntrack: with br_netfilter, every frame would be tracked a second time.
    sysctls: ["-net.bridge.bridge-nf-call-iptables=0", "-net.bridge.bridge-nf-call-ip6tables=0"],
    ip: [
      ...["br0", ...ports].map((name) => `link set ${name} addrgenmode none`),
      ...ports.map((name) => `link set ${name} master br0 up`),
      "link set br0 up",
    ],
    nft: cluster.hostLink ? machineGuard(cluster.network.cidrs.ip) : "",
  };
}

/**
 * Only underlay sources may reach the root namespace. It would answer a pod's address through the
 * machine's default route, and so send playground traffic to the outside world.
 */
function machineGuard(cidr: string): string {
  return [
    "table bridge playground {",
    " chain machine {",
    "  type filter hook forward priority 0;",
    `  oifname "machine" ether type ip ip saddr != ${cidr} drop`,
    '  oifname "machine" ether type ip6 drop',
    " }",
    "}\n",
  ].join("\n");
}

/** Outsiders have no default route: where no VIP was routed, connecting fails at once. */
function planOutsider(
  host: PlaygroundHost,
  nodes: readonly PlaygroundNode[],
  sysctls: readonly string[] = [],
): NamespaceSetup {
  const ip = [...uplink(host.addresses), ...nodes.flatMap(podRoutes)];
  return { netns: host.netns, sysctls, ip, nft: "" };
}

function planNode(node: PlaygroundNode, cluster: ClusterDescription): NamespaceSetup {
  const others = cluster.nodes.filter((other) => other.number !== node.number);
  return {
    netns: node.netns,
    sysctls: cluster.cni === "bridge" ? [...routerSysctls, ...bridgeSysctls] : routerSysctls,
    ip: [
      ...uplink(node.addresses),
      // Without a default route a process on the node could not even send to a VIP.
      ...defaultRoutes(cluster.loadBalancer.addresses),
      ...others.flatMap(podRoutes),
      ...(cluster.cni === "bridge" ? bridge(node.number) : []),
    ],
    nft: "",
  };
}

function podRoutes({ podCidrs, addresses }: PlaygroundNode): string[] {
  return [
    `route add ${podCidrs.ip} via ${addresses.ip}`,
    `route add ${podCidrs.ip6} via ${addresses.ip6}`,
  ];
}

function uplink({ ip, ip6 }: AddressPair): string[] {
  const hostPart = ip6.slice(ip6.lastIndexOf(":") + 1);
  return [
    "link set lo up",
    "link set eth0 addrgenmode none",
    `addr add ${ip}/24 dev eth0`,
    `addr add ${ip6}/64 dev eth0 nodad`,
    `addr add fe80::77:${hostPart}/64 dev eth0 nodad`,
    "link set eth0 up",
  ];
}

function bridge(nodeNumber: number): string[] {
  const { ip, ip6 } = bridgeAddresses(nodeNumber);
  return [
    // Left to itself, a bridge takes the smallest address of its ports: it changes with each pod.
    "link add cni0 address 02:71:00:00:00:00 type bridge stp_state 0 mcast_snooping 0",
    "link set cni0 addrgenmode none",
    `addr add ${ip}/24 dev cni0`,
    `addr add ${ip6}/64 dev cni0 nodad`,
    "addr add fe80::1/64 dev cni0 nodad",
    "link set cni0 up",
  ];
}
