// The SYN lift, for pods on a bridge whose frames br_netfilter shows to the IP hooks: there TPROXY
// cannot work, since the socket it gives a packet is lost before the packet reaches IP. So a SYN
// to a lane's entry point is sent round by a pair of links of ours, and enters IP like any other.

import { type Address, familyOf } from "../../lib/ip/address.ts";
import type { Link } from "../../lib/netlink/link.ts";
import type { Change, Family, Rule, SetSpec, Transaction } from "../../lib/nft/objects.ts";
import type { FamilyPlan } from "./family-plan.ts";
import { DELIVERED_MARK } from "./lane-marks.ts";
import { accept, type Chain, field, goto, inSet, plain } from "../../lib/nft/rule-parts.ts";
import { TABLE } from "./ruleset.ts";

/** A bridge with pods on it. */
export interface LiftBridge {
  readonly name: string;
  /** Its own Ethernet address. */
  readonly address: string;
  readonly ports: readonly Link[];
}

/** All that the lift's tables are made from. */
export interface LiftWorld {
  readonly out: Link;
  readonly in: Link;
  readonly bridges: readonly LiftBridge[];
  /** `10.96.0.10 . tcp . 80`, by family. */
  readonly entries: Readonly<Record<Family, readonly string[]>>;
}

const FAMILIES = ["ip", "ip6"] as const;
const EARLY = -500;
/** Behind br_netfilter, which has the IP hooks see the frame at 0. */
const AFTER_IP_HOOKS = 1;
const ENTRY = ["daddr", "meta l4proto", "th dport"] as const;

/** Bridges with a pod on a port, and their ports. */
export function liftBridges(links: readonly Link[]): readonly LiftBridge[] {
  return links
    .filter(({ kind }) => kind === "bridge")
    .map(({ index, name, address }) => {
      const ports = links.filter(({ kind, master }) => kind === "veth" && master === index);
      return { name, address, ports };
    })
    .filter(({ ports }) => ports.length > 0);
}

/**
 * Every address and port at which connections come into a lane.
 * @param hostAddresses where NodePorts answer when they answer everywhere
 */
export function liftEntries(
  plan: Pick<FamilyPlan, "ledger" | "nodePortAddresses"> & {
    readonly options: { readonly family: Family };
  },
  hostAddresses: readonly Address[],
): string[] {
  const { wanted } = plan.ledger;
  const addresses =
    plan.nodePortAddresses ??
    hostAddresses.filter((address) => familyOf(address) === plan.options.family);
  const nodePorts = [...(wanted.get("lane-nodeports")?.keys() ?? [])];
  return [
    ...(wanted.get("lane-vips")?.keys() ?? []),
    ...addresses.flatMap((address) => nodePorts.map((port) => `${address} . ${port}`)),
  ];
}

/** Makes both tables anew, whatever was there. */
export function liftTransactions(world: LiftWorld): readonly Transaction[] {
  return [...liftRemoval(), ...netdevTables(world), bridgeTable(world)];
}

/** Removes both tables, whether or not they are there. */
export function liftRemoval(): readonly Transaction[] {
  const changes: readonly Change[] = [{ kind: "add-table" }, { kind: "delete-table" }];
  return (["netdev", "bridge"] as const).map((layer) => ({
    family: "ip",
    layer,
    table: TABLE,
    changes,
  }));
}

function entrySet(family: Family): SetSpec {
  return { name: `lift-${family}`, key: ENTRY };
}

/** One table; each family says which of its rules and sets speak of its addresses. */
function netdevTables({ out, in: into, bridges, entries }: LiftWorld): readonly Transaction[] {
  const ports = bridges.flatMap((bridge) => bridge.ports);
  const lift = (family: Family): Rule => [
    { kind: "frame-of-family" },
    inSet(entrySet(family).name, field("daddr"), field("meta l4proto"), field("th dport")),
    { kind: "set-ether-daddr", address: into.address },
    { kind: "forward-to", name: out.name, index: out.index },
  ];
  const head: Change[] = [
    { kind: "add-table", comment: "Innermesh: SYNs of pods on bridges" },
    ...chainChanges([plain("lift", [[{ kind: "tcp-not-syn" }, accept]])]),
  ];
  const perFamily = FAMILIES.map((family): Transaction => {
    const set = entrySet(family);
    const changes: Change[] = [
      { kind: "add-set", set },
      { kind: "add-elements", set, elements: entries[family].map((key) => ({ key })) },
      { kind: "add-rule", chain: "lift", rule: lift(family) },
    ];
    return { family, layer: "netdev", table: TABLE, changes };
  });
  const arrivals = ports.map(
    ({ name }): Chain => ({
      spec: {
        name: `port-${name}`,
        base: { type: "filter", hook: "ingress", priority: EARLY, device: name },
      },
      rules: [[goto("lift")]],
    }),
  );
  const netdev = { family: "ip", layer: "netdev", table: TABLE } as const;
  return [
    { ...netdev, changes: head },
    ...perFamily,
    { ...netdev, changes: chainChanges(arrivals) },
  ];
}

/** Packets for sockets of the proxy leave the bridge, though they bear a pod's address. */
function bridgeTable({ bridges }: LiftWorld): Transaction {
  const changes: Change[] = [{ kind: "add-table", comment: "Innermesh: packets for the proxy" }];
  const rules: Rule[] = [];
  bridges.forEach(({ address, ports }, number) => {
    const set: SetSpec = { name: `ports-${number}`, key: ["meta iifname"] };
    changes.push({ kind: "add-set", set });
    const elements = ports.map(({ name }) => ({ key: name }));
    changes.push({ kind: "add-elements", set, elements });
    rules.push([
      { kind: "mark-has", mask: DELIVERED_MARK },
      { kind: "in-set", key: [{ kind: "field", field: "meta iifname" }], set: set.name },
      { kind: "set-ether-daddr", address },
      { kind: "set-pkttype-host" },
    ]);
  });
  const base = { type: "filter", hook: "prerouting", priority: AFTER_IP_HOOKS } as const;
  changes.push(...chainChanges([{ spec: { name: "prerouting", base }, rules }]));
  return { family: "ip", layer: "bridge", table: TABLE, changes };
}

function chainChanges(chains: readonly Chain[]): Change[] {
  return chains.flatMap(({ spec, rules }) => [
    { kind: "add-chain", chain: spec },
    ...rules.map((rule): Change => ({ kind: "add-rule", chain: spec.name, rule })),
  ]);
}
