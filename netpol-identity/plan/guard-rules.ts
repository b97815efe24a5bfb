// Anti-spoofing. Where a frame leaves a pod's interface, its sender must be the address bound to
// that interface: for IPv4, IPv6, ARP, and what neighbour discovery says. Such packets get a mark;
// later, a packet that bears a pod's address without it is dropped, whichever way it came.

import type { Link } from "../../lib/netlink/link.ts";
import type { Family, Operand, Rule, Statement } from "../../lib/nft/objects.ts";
import { accept, drop, field, goto, inSet } from "../../lib/nft/rule-parts.ts";
import type { PlannedChain, PlannedSet } from "../../lib/nft/table-plan.ts";
import {
  BOUND_MARK,
  chainOf,
  COUNTERS,
  elementsOf,
  type PolicyWorld,
} from "./policy-table-parts.ts";

/** Before conntrack (-200) and before defragmentation (-400) asks it anything. */
const RAW = -300;
/** Before the lift of Services, which is at -500. */
const FIRST = -600;
/** Message types of neighbour discovery (RFC 4861). */
const ROUTER_ADVERTISEMENT = 134;
const NEIGHBOUR_ADVERTISEMENT = 136;
const REDIRECT = 137;
/**
 * What hosts say on their link: multicast listeners (RFC 2710, RFC 3810), solicitations and
 * advertisements. An echo is none of it: policies know nobody by a link-local address.
 */
const ON_LINK = [131, 132, 143, 133, 135, NEIGHBOUR_ADVERTISEMENT];
const LINK_LOCAL = "fe80::/10";
const UNSPECIFIED = "::/128";

const mark: Statement = { kind: "set-mark", operator: "|", mask: BOUND_MARK };
const isUnbound: Statement = { kind: "mark-has", mask: BOUND_MARK, negate: true };
const frame: Statement = { kind: "frame-of-family" };
const spoofed: Rule = [{ kind: "count", counter: COUNTERS.spoofed }, drop];

/**
 * br_netfilter shows no tagged frame to the IP hooks, and its receiver takes tag 0 for none:
 * between ports of a bridge it would reach whoever it likes.
 */
export const TAGGED = [
  { kind: "frame-tagged", tag: "8021q" },
  { kind: "frame-tagged", tag: "8021ad" },
] as const satisfies readonly Statement[];

/** Sets of the table that sees frames; `owned` are addresses that only their owner may announce. */
export function guardSets({ bindings, nodeAddresses }: PolicyWorld): readonly PlannedSet[] {
  const bound = (family: Family): PlannedSet => ({
    spec: { name: `bound-${family}`, key: ["meta iif", "saddr"] },
    family,
    elements: elementsOf(
      bindings
        .filter(({ address }) => familyFits(family, address))
        .map(({ address, link }) => `${link.index} . ${address}`),
    ),
  });
  const owned = [...bindings.map(({ address }) => address), ...nodeAddresses];
  return [
    bound("ip"),
    bound("ip6"),
    {
      spec: { name: "owned-ip6", key: ["saddr"] },
      family: "ip6",
      elements: elementsOf(owned.filter((address) => familyFits("ip6", address))),
    },
  ];
}

/** One chain for each interface of a pod, and what they all lead to. */
export function guardChains({ bindings }: PolicyWorld): readonly PlannedChain[] {
  const links = new Map(bindings.map(({ link }) => [link.index, link]));
  const ports = [...links.values()].sort((a, b) => a.index - b.index).map(portChain);
  return [
    { spec: { name: "guard-link" }, rules: linkRules() },
    { spec: { name: "guard" }, rules: guardRules() },
    ...ports,
  ];
}

function portChain({ index, name }: Link): PlannedChain {
  const base = { type: "filter", hook: "ingress", priority: FIRST, device: name } as const;
  return chainOf("ip", { spec: { name: `port-${index}`, base }, rules: [[goto("guard")]] });
}

function guardRules(): PlannedChain["rules"] {
  const iif = field("meta iif");
  const isBound = (family: Family, sender: Operand): ReturnType<typeof inSet> =>
    inSet(`bound-${family}`, iif, sender);
  const target: Operand = { kind: "nd-target" };
  const lies: Rule = [{ ...isBound("ip6", target), negate: true }, ...spoofed];
  const ofIp = (...rule: Rule) => ({ family: "ip", rule }) as const;
  const ofIp6 = (...rule: Rule) => ({ family: "ip6", rule: [frame, ...rule] }) as const;
  return [
    ...TAGGED.map((isTagged) => ofIp(isTagged, ...spoofed)),
    ofIp(frame, isBound("ip", field("saddr")), mark, goto("lift")),
    ofIp({ kind: "frame-of-arp" }, isBound("ip", { kind: "arp-sender" }), mark, accept),
    // Pods are no routers.
    ofIp6({ kind: "icmpv6-type", type: ROUTER_ADVERTISEMENT }, ...spoofed),
    ofIp6({ kind: "icmpv6-type", type: REDIRECT }, ...spoofed),
    ofIp6(
      { kind: "icmpv6-type", type: NEIGHBOUR_ADVERTISEMENT },
      inSet("owned-ip6", target),
      ...lies,
    ),
    ofIp6(isBound("ip6", field("saddr")), mark, goto("lift")),
    ofIp6(inSet("owned-ip6", field("saddr")), ...spoofed),
    ofIp6({ kind: "prefix", field: "saddr", prefix: LINK_LOCAL }, goto("guard-link")),
    ofIp6({ kind: "prefix", field: "saddr", prefix: UNSPECIFIED }, goto("guard-link")),
    ofIp(...spoofed),
  ];
}

function linkRules(): PlannedChain["rules"] {
  const isOnLink = ON_LINK.map((type): Rule => [{ kind: "icmpv6-type", type }, accept]);
  return [...isOnLink, spoofed].map((rule) => ({ family: "ip6", rule }));
}

/** Drops packets with a pod's address that did not come from that pod, before conntrack. */
export function originChain(): Parameters<typeof chainOf>[1] {
  const base = { type: "filter", hook: "prerouting", priority: RAW } as const;
  const fromHost: Statement = { kind: "iifname", name: "lo", negate: true };
  const rule: Rule = [isUnbound, fromHost, inSet("pods", field("saddr")), ...spoofed];
  return { spec: { name: "guard-origin", base }, rules: [rule] };
}

/**
 * What is delivered to this node ends here. A packet that it carries, in VXLAN or the like, comes
 * anew, and is not what the pod's interface vouched for.
 */
export function arrivedChain(): Parameters<typeof chainOf>[1] {
  const base = { type: "filter", hook: "input", priority: RAW } as const;
  const unmark: Statement = { kind: "set-mark", operator: "&", mask: ~BOUND_MARK >>> 0 };
  return { spec: { name: "guard-arrived", base }, rules: [[unmark]] };
}

/** The same for ARP on bridges, where another port could announce a pod's address. */
export function arpChain(): PlannedChain {
  const base = { type: "filter", hook: "prerouting", priority: RAW } as const;
  const announced = inSet("pods-ip", { kind: "arp-sender" });
  const rule: Rule = [{ kind: "frame-of-arp" }, isUnbound, announced, ...spoofed];
  return chainOf("ip", { spec: { name: "guard-arp", base }, rules: [rule] });
}

/** Whether an address is of that family. */
export function familyFits(family: Family, address: string): boolean {
  return address.includes(":") === (family === "ip6");
}
