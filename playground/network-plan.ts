// Turns a described cluster into the commands that wire it. Pure, so a test can read the wiring.
//
// Interfaces get fixed link-local addresses with `nodad`: generated ones stay tentative for a
// second, during which a router cannot send neighbour solicitations and IPv6 looks broken.

import {
  type AddressPair,
  bridgeAddresses,
  type CniShape,
  type PlaygroundHost,
  type PlaygroundNode,
  type PlaygroundPod,
  routedGateways,
  type UnderlayNetwork,
  underlayAddresses,
  underlayNetns,
} from "./topology.ts";

/** What one namespace is told once its interfaces exist. */
export interface NamespaceSetup {
  /** Undefined is the root namespace. */
  readonly netns: string | undefined;
  /**
   * `key=value`; `*` in a key means every interface that is there, `all` and `default`; with a
   * `-` before it the key may be missing, as in sysctl.d(5).
   */
  readonly sysctls: readonly string[];
  /** Lines for `ip -batch`. */
  readonly ip: readonly string[];
  /** A ruleset for `nft -f`, or empty. */
  readonly nft: string;
}

export interface NetworkPlan {
  /** To be created before anything else. */
  readonly namespaces: readonly string[];
  /** Lines for one `ip -batch` in the root namespace: both ends are born in their namespaces. */
  readonly links: readonly string[];
  readonly setups: readonly NamespaceSetup[];
}

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
    planClient(cluster),
    planLoadBalancer(cluster),
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

/** Plans one pod and its node's side of the wire. */
export function planPod(
  node: Pick<PlaygroundNode, "netns" | "number">,
  pod: PlaygroundPod,
  cni: CniShape,
): NetworkPlan {
  const [nodeSide, podSide] = cni === "routed" ? planRoutedVeth(pod) : planBridgePort(node, pod);
  // By number: who gets a removed pod's address must not wait for neighbours to forget its MAC.
  const mac = `02:71:00:00:${hexByte(node.number)}:${hexByte(pod.number)}`;
  const podStart = ["link set lo up", `link set eth0 address ${mac} addrgenmode none`];
  return {
    namespaces: [pod.netns],
    links: [
      `link add name ${pod.hostInterface} netns ${node.netns} type veth ` +
        `peer name eth0 netns ${pod.netns}`,
    ],
    setups: [
      { netns: node.netns, sysctls: [], ip: nodeSide, nft: "" },
      { netns: pod.netns, sysctls: [], ip: [...podStart, ...podSide], nft: "" },
    ],
  };
}

/** Joins plans so that each namespace is set up by one process, in the order given. */
export function mergePlans(plans: readonly NetworkPlan[]): NetworkPlan {
  const setups = new Map<string | undefined, NamespaceSetup>();
  for (const setup of plans.flatMap((plan) => plan.setups)) {
    const before = setups.get(setup.netns);
    setups.set(setup.netns, {
      netns: setup.netns,
      sysctls: [...(before?.sysctls ?? []), ...setup.sysctls],
      ip: [...(before?.ip ?? []), ...setup.ip],
      nft: (before?.nft ?? "") + setup.nft,
    });
  }
  return {
    namespaces: plans.flatMap((plan) => plan.namespaces),
    links: plans.flatMap((plan) => plan.links),
    setups: [...setups.values()],
  };
}

/** Every routed veth may share it: each is the only link between its two ends. */
const routerMac = "ee:ee:ee:ee:ee:ee";

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

/** What the client cannot reach directly, the load balancer routes or declares unreachable. */
function planClient({ client, loadBalancer }: ClusterDescription): NamespaceSetup {
  const ip = [...uplink(client.addresses), ...defaultRoutes(loadBalancer.addresses)];
  return { netns: client.netns, sysctls: [], ip, nft: "" };
}

function planLoadBalancer({ loadBalancer, nodes }: ClusterDescription): NamespaceSetup {
  const ip = [...uplink(loadBalancer.addresses), ...nodes.flatMap(podRoutes)];
  return { netns: loadBalancer.netns, sysctls: routerSysctls, ip, nft: "" };
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

function defaultRoutes({ ip, ip6 }: AddressPair): string[] {
  return [`route add default via ${ip}`, `route add default via ${ip6}`];
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

function hexByte(value: number): string {
  return value.toString(16).padStart(2, "0");
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

function planRoutedVeth(pod: PlaygroundPod): [string[], string[]] {
  const { ip, ip6 } = pod.addresses;
  const link = pod.hostInterface;
  return [
    [
      `link set ${link} address ${routerMac} addrgenmode none`,
      `addr add ${routedGateways.ip6}/64 dev ${link} nodad`,
      `link set ${link} up`,
      `route add ${ip}/32 dev ${link} scope link`,
      `route add ${ip6}/128 dev ${link}`,
    ],
    [
      `addr add ${ip}/32 dev eth0`,
      `addr add ${ip6}/128 dev eth0 nodad`,
      "addr add fe80::2/64 dev eth0 nodad",
      "link set eth0 up",
      // proxy_arp would answer for the gateway too, but only after a random delay of up to 0.8 s.
      `neigh add ${routedGateways.ip} lladdr ${routerMac} dev eth0 nud permanent`,
      `route add ${routedGateways.ip}/32 dev eth0 scope link`,
      `route add default via ${routedGateways.ip} dev eth0`,
      `route add default via ${routedGateways.ip6} dev eth0`,
    ],
  ];
}

function planBridgePort(
  node: Pick<PlaygroundNode, "number">,
  pod: PlaygroundPod,
): [string[], string[]] {
  const gateway = bridgeAddresses(node.number);
  const { ip, ip6 } = pod.addresses;
  return [
    [
      `link set ${pod.hostInterface} addrgenmode none`,
      `link set ${pod.hostInterface} master cni0 up`,
      // A pod that reaches itself through a VIP leaves by the port it came in.
      `link set ${pod.hostInterface} type bridge_slave hairpin on`,
    ],
    [
      `addr add ${ip}/24 dev eth0`,
      `addr add ${ip6}/64 dev eth0 nodad`,
      `addr add fe80::${(pod.number + 1).toString(16)}/64 dev eth0 nodad`,
      "link set eth0 up",
      ...defaultRoutes(gateway),
    ],
  ];
}
