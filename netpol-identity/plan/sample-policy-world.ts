// A node's world for tests: a strict pod on a bridge, a permissive one behind a route, peers.

import type { Link } from "../../lib/netlink/link.ts";
import { sampleNetwork } from "./sample-network-world.ts";
import { DEFAULT_POLICY_PORTS, type PolicyWorld } from "./policy-table-parts.ts";

/** Links `veth-a` (a port of `cni0`), `veth-b`, `cni0`, `im2` and `im3`. */
export const SAMPLE_LINKS: readonly Link[] = [
  { index: 2, name: "im2", kind: "veth", address: "02:00:00:00:00:02" },
  { index: 3, name: "im3", kind: "veth", address: "02:00:00:00:00:03" },
  { index: 4, name: "cni0", kind: "bridge", address: "02:00:00:00:00:04" },
  { index: 5, name: "veth-a", kind: "veth", address: "02:00:00:00:00:05", master: 4 },
  { index: 6, name: "veth-b", kind: "veth", address: "02:00:00:00:00:06" },
];

/** @param links with those names, whatever their numbers */
export function sampleWorld(links: readonly Link[] = SAMPLE_LINKS): PolicyWorld {
  const find = (wanted: string): Link => {
    const link = links.find(({ name }) => name === wanted);
    if (link === undefined) throw new Error(`Cannot make a sample: no link "${wanted}"`);
    return link;
  };
  const bridge = find("cni0");
  const port = { ...find("veth-a"), master: bridge.index };
  const bind = (uid: string, link: Link, addresses: readonly string[]) =>
    addresses.map((address) => ({ uid, address, link }));
  const [a, b] = [
    ["10.71.1.2", "fd71:1::2"],
    ["10.71.1.3", "fd71:1::3"],
  ] as const;
  return {
    pods: [
      { uid: "a", addresses: a, mode: "strict" },
      { uid: "b", addresses: b, mode: "permissive" },
      { uid: "c", addresses: ["10.71.1.4"], mode: "strict" },
    ],
    peers: [
      { address: "10.71.2.2", mode: "strict" },
      { address: "fd71:2::2", mode: "permissive" },
    ],
    bindings: [...bind("a", port, a), ...bind("b", find("veth-b"), b)],
    nodeAddresses: ["10.71.1.1", "fd71:1::1", "fe80::1"],
    bridges: [{ name: bridge.name, address: bridge.address, ports: [port] }],
    bridgeIndexes: [bridge.index],
    detour: { out: find("im2"), in: find("im3") },
    ports: DEFAULT_POLICY_PORTS,
    network: sampleNetwork(),
  };
}
