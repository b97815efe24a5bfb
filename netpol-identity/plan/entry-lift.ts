// Pods on a bridge whose frames br_netfilter shows to the IP hooks: TPROXY cannot work there, since
// the socket it gives a packet is lost before the packet reaches IP. So SYNs that a door wants go
// round by a pair of links of ours, and later frames for a worker's socket leave the bridge.

import { TUNNEL_PORT } from "../model/tunnel-plan.ts";
import type { Family, Rule, Statement } from "../../lib/nft/objects.ts";
import { accept, field, inSet } from "../../lib/nft/rule-parts.ts";
import type { PlannedChain, PlannedSet } from "../../lib/nft/table-plan.ts";
import { familyFits } from "./guard-rules.ts";
import { DELIVERED_MARK, elementsOf, type PolicyWorld } from "./policy-table-parts.ts";

/** Links of the detour: frames leave by the first and enter IP by the second. */
export const DETOUR_LINKS = { out: "im2", in: "im3" } as const;

/** Behind br_netfilter, which has the IP hooks see the frame at 0. */
const AFTER_IP_HOOKS = 1;
const FAMILIES = ["ip", "ip6"] as const;

/** Destinations that doors want, for the table that sees frames; empty without a detour. */
export function liftSets({ pods, peers, detour }: PolicyWorld): readonly PlannedSet[] {
  const local = pods.filter(({ mode }) => mode !== "off").flatMap(({ addresses }) => addresses);
  const enrolled = [...local, ...peers.map(({ address }) => address)];
  const set = (name: string, family: Family, addresses: readonly string[]): PlannedSet => {
    const wanted = addresses.filter((address) => familyFits(family, address));
    const elements = elementsOf(detour === undefined ? [] : wanted);
    return { spec: { name: `${name}-${family}`, key: ["daddr"] }, family, elements };
  };
  return FAMILIES.flatMap((family) => [
    set("workloads", family, local),
    set("enrolled", family, enrolled),
  ]);
}

/** Where frames go that bear their sender's own address. */
export function liftChain({ detour }: PolicyWorld): PlannedChain {
  const spec = { name: "lift" };
  if (detour === undefined) return { spec, rules: [] };
  const away: Rule = [
    { kind: "set-ether-daddr", address: detour.in.address },
    { kind: "forward-to", name: detour.out.name, index: detour.out.index },
  ];
  const frame: Statement = { kind: "frame-of-family" };
  return {
    spec,
    rules: [
      { family: "ip", rule: [{ kind: "tcp-not-syn" }, accept] },
      ...FAMILIES.flatMap((family) => {
        const [from, to] = [
          inSet(`workloads-${family}`, field("saddr")),
          inSet(`workloads-${family}`, field("daddr")),
        ];
        const isTunnel: Statement = { kind: "tcp-dport", port: TUNNEL_PORT };
        const anywhere = inSet(`enrolled-${family}`, field("daddr"));
        const isTcp: Statement = { kind: "l4proto", protocol: "tcp" };
        return [
          { family, rule: [frame, isTunnel, to, ...away] },
          { family, rule: [frame, isTcp, from, anywhere, ...away] },
        ] as const;
      }),
    ],
  };
}

/** Packets for sockets of the proxy leave the bridge, though they bear a pod's address. */
export function deliveryChain({ bridges }: PolicyWorld): PlannedChain {
  const base = { type: "filter", hook: "prerouting", priority: AFTER_IP_HOOKS } as const;
  const rules = bridges.map(
    ({ address }, number): Rule => [
      { kind: "mark-has", mask: DELIVERED_MARK },
      inSet(`ports-${number}`, field("meta iif")),
      { kind: "set-ether-daddr", address },
      { kind: "set-pkttype-host" },
    ],
  );
  return {
    spec: { name: "entry-delivery", base },
    rules: rules.map((rule) => ({ family: "ip", rule })),
  };
}

/** The ports of each bridge, by its place in the list. */
export function bridgeSets({ bridges }: PolicyWorld): readonly PlannedSet[] {
  return bridges.map(({ ports }, number) => ({
    spec: { name: `ports-${number}`, key: ["meta iif"] },
    family: "ip",
    elements: elementsOf(ports.map(({ index }) => String(index))),
  }));
}
