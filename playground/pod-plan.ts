// Wires one pod to its node, in either shape.

import { defaultRoutes, type NetworkPlan } from "./network-plan.ts";
import {
  bridgeAddresses,
  type CniShape,
  type PlaygroundNode,
  type PlaygroundPod,
  routedGateways,
} from "./topology.ts";

/** Plans one pod and its node's side of the wire. */
export function planPod(
  node: Pick<PlaygroundNode, "netns" | "number">,
  pod: PlaygroundPod,
  cni: CniShape,
): NetworkPlan {
  // By number: who gets a removed pod's address must not wait for neighbours to forget its MAC.
  const mac = `02:71:00:00:${hexByte(node.number)}:${hexByte(pod.number)}`;
  const [nodeSide, podSide] =
    cni === "routed" ? planRoutedVeth(pod) : planBridgePort(node, pod, mac);
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

/** Every routed veth may share it: each is the only link between its two ends. */
const routerMac = "ee:ee:ee:ee:ee:ee";

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
  mac: string,
): [string[], string[]] {
  const gateway = bridgeAddresses(node.number);
  const { ip, ip6 } = pod.addresses;
  return [
    [
      `link set ${pod.hostInterface} addrgenmode none`,
      `link set ${pod.hostInterface} master cni0 up`,
      // A pod that reaches itself through a VIP leaves by the port it came in.
      `link set ${pod.hostInterface} type bridge_slave hairpin on`,
      // What a gratuitous ARP would tell a node that looked for this address a moment ago in vain.
      `neigh replace ${ip} lladdr ${mac} dev cni0 nud stale`,
      `neigh replace ${ip6} lladdr ${mac} dev cni0 nud stale`,
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

function hexByte(value: number): string {
  return value.toString(16).padStart(2, "0");
}
