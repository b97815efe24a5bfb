// What policies add to the tables of the two families: one element for each isolated address leads
// to the chains of its set, groups are sets of addresses. A flow is judged once, by the addresses
// behind every translation: whatever belongs to one that was let in passes.

import { mergeCidrs } from "../../lib/ip/cidr.ts";
import type { Element, Family, Rule, SetSpec, Statement } from "../../lib/nft/objects.ts";
import {
  accept,
  base,
  type Chain,
  drop,
  field,
  goto,
  inSet,
  plain,
} from "../../lib/nft/rule-parts.ts";
import type { PlannedChain, PlannedSet } from "../../lib/nft/table-plan.ts";
import type { PolicySet } from "../evaluate/policy-set.ts";
import { familyFits } from "./guard-rules.ts";
import {
  carrierSetName,
  chainName,
  DENIED,
  groupSetName,
  type AskedSets,
  type NetworkSide,
  SELF_SET,
  setChains,
  setsAsked,
} from "./network-rules.ts";
import { chainsBeyond, type ListLimits, type ListUse, ownLists, shutSet } from "./list-limit.ts";
import type { NetworkPod, NetworkWorld } from "./network-world.ts";
import { chainOf, DELIVERED_MARK, elementsOf, SOCKET_MARK } from "./policy-table-parts.ts";

const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;
/** Denials that are told, of each sort. */
const LOGS_PER_SECOND = 10;

const SIDES = ["out", "in", "node", "gate"] as const;
/** What an admin says of nodes alone is little: its lists are not limited. */
const LIMITED_SIDES = ["out", "in", "gate"] as const;
const MAPS = {
  out: { name: "policy-out", key: ["saddr"], data: "verdict" },
  in: { name: "policy-in", key: ["daddr"], data: "verdict" },
  node: { name: "policy-node", key: ["saddr"], data: "verdict" },
  gate: { name: "policy-gate", key: ["daddr"], data: "verdict" },
} as const satisfies Record<NetworkSide, SetSpec>;
/** Addresses that some set is about. */
const ISOLATED: SetSpec = { name: "isolated", key: ["saddr"] };
const SELF: SetSpec = { name: SELF_SET, key: ["saddr", "daddr"] };
const HELD: SetSpec = { name: "held", key: ["saddr"], interval: true };
/** Addresses of pods that are known, while some are held. */
const KNOWN: SetSpec = { name: "known", key: ["saddr"] };

/** Packets that stay on a bridge come in by it and go on by it. */
export const BRIDGED: SetSpec = { name: "bridged", key: ["meta iif", "meta oif"] };

/** What the caller's set says, and then the callee's: before a worker takes a direct call. */
export const JUDGE_DIRECT: readonly Rule[] = [
  [{ kind: "vmap", key: [field("saddr")], map: MAPS.out.name }],
  [{ kind: "vmap", key: [field("daddr")], map: MAPS.gate.name }],
];
/** The same of a node's own process, which no set restricts in whom it calls. */
export const JUDGE_HOST: Rule = [{ kind: "vmap", key: [field("daddr")], map: MAPS.gate.name }];

/** Packets, or the first of flows, that were dropped: by which direction's set, or why else. */
export const DENIED_COUNTERS = {
  in: DENIED.in,
  out: DENIED.out,
  /** To ports that only workers open. */
  proven: DENIED.proven,
  /** Since nobody knew yet whose address it is. */
  held: DENIED.held,
  /** Of TCP flows that had been ended. */
  ended: "denied-ended",
} as const;

export interface NetworkParts {
  readonly sets: readonly PlannedSet[];
  readonly chains: readonly PlannedChain[];
}

interface Compiled {
  readonly chains: readonly PlannedChain[];
  readonly use: ListUse;
}

type Elements = ReadonlyMap<string, Element>;
type ByFamily<T> = Readonly<Record<Family, T>>;
/** By id, so that pods that share a set share its chains. */
type UsedSets = Readonly<Record<NetworkSide, ReadonlyMap<string, PolicySet>>>;

const NOBODY: ReadonlySet<string> = new Set();
/** Of one family's table. */
const LIMITS: ListLimits = { lists: 12_000, rules: 10_000 };

/** Remembers what the last plan was made of: most of a cluster is as it was. */
export class NetworkPlanner {
  readonly #compiled: ByFamily<Record<NetworkSide, WeakMap<PolicySet, Compiled>>> = {
    ip: { in: new WeakMap(), out: new WeakMap(), node: new WeakMap(), gate: new WeakMap() },
    ip6: { in: new WeakMap(), out: new WeakMap(), node: new WeakMap(), gate: new WeakMap() },
  };
  readonly #shut = new WeakMap<PolicySet, PolicySet>();
  readonly #closed: Record<Family, ReadonlySet<PolicySet>> = { ip: new Set(), ip6: new Set() };
  readonly #members = new WeakMap<ReadonlySet<string>, ByFamily<Elements>>();
  readonly #gates = new WeakMap<NetworkWorld["gates"], ByFamily<Elements>>();
  readonly #asking = new Map<NetworkSide, WeakMap<PolicySet, AskedSets>>(
    SIDES.map((side) => [side, new WeakMap()]),
  );
  readonly #asked: Record<Family, ReadonlyMap<string, PlannedSet>> = {
    ip: new Map(),
    ip6: new Map(),
  };

  /** Sets of policies of which the last plans let nobody through: they would take too much. */
  get closed(): ReadonlySet<PolicySet> {
    return new Set([...this.#closed.ip, ...this.#closed.ip6]);
  }

  /** One family's sets and chains. */
  plan(family: Family, world: NetworkWorld): NetworkParts {
    const used = this.#fitting(family, usedSets(world));
    const gates = { spec: MAPS.gate, family, elements: this.#gateElements(world)[family] };
    return {
      sets: [...addressSets(family, world), gates, ...this.#askedSets(family, world, used)],
      chains: [
        ...flowChains(family, world).map((chain) => chainOf(family, chain)),
        ...this.#setChains(family, used),
      ],
    };
  }

  /** Sets that would take more lists than there may be stand for nothing but a denial. */
  #fitting(family: Family, used: UsedSets): UsedSets {
    const uses = LIMITED_SIDES.flatMap((side) =>
      [...used[side].values()].map((set) => this.#compiledOf(family, side, set).use),
    );
    const beyond = chainsBeyond(uses, LIMITS);
    const closed = new Set<PolicySet>();
    this.#closed[family] = closed;
    if (beyond.size === 0) return used;
    const fit = (side: NetworkSide): ReadonlyMap<string, PolicySet> => {
      const fitting = new Map(used[side]);
      for (const set of used[side].values()) {
        if (!beyond.has(chainName(side, set))) continue;
        closed.add(set);
        fitting.set(set.id, this.#shutOf(set));
      }
      return fitting;
    };
    return { in: fit("in"), out: fit("out"), node: used.node, gate: fit("gate") };
  }

  /** Always the same one. */
  #shutOf(set: PolicySet): PolicySet {
    const shut = this.#shut.get(set) ?? shutSet(set);
    this.#shut.set(set, shut);
    return shut;
  }

  #setChains(family: Family, used: UsedSets): readonly PlannedChain[] {
    return SIDES.flatMap((side) =>
      [...used[side].values()].flatMap((set) => this.#compiledOf(family, side, set).chains),
    );
  }

  #compiledOf(family: Family, side: NetworkSide, set: PolicySet): Compiled {
    const compiled = this.#compiled[family][side];
    const known = compiled.get(set);
    if (known !== undefined) return known;
    const chains = setChains(side, family, set).map((chain) => chainOf(family, chain));
    const { addresses, carriers, ports } = this.#setsAsked(side, set);
    const groups = [...addresses.map(groupSetName), ...carriers.map(carrierSetName)];
    const use = {
      chain: chainName(side, set),
      shared: new Set([...groups, ...ports.keys()]),
      own: ownLists(chains),
      rules: chains.reduce((sum, { rules }) => sum + rules.length, 0),
    };
    compiled.set(set, { chains, use });
    return { chains, use };
  }

  #askedSets(family: Family, world: NetworkWorld, used: UsedSets): readonly PlannedSet[] {
    const members = new Map<string, ReadonlySet<string>>();
    const ports = new Map<string, readonly string[]>();
    for (const side of SIDES) {
      for (const set of used[side].values()) {
        const asked = this.#setsAsked(side, set);
        for (const id of asked.addresses) {
          members.set(groupSetName(id), world.groups.addresses(id) ?? NOBODY);
        }
        for (const id of asked.carriers) members.set(carrierSetName(id), world.carriers(id));
        for (const [name, keys] of asked.ports) ports.set(name, keys);
      }
    }
    const before = this.#asked[family];
    const planned = new Map<string, PlannedSet>();
    for (const [name, addresses] of members) {
      const elements = this.#memberElements(addresses)[family];
      const { spec = { name, key: ["saddr"] } } = before.get(name) ?? {};
      planned.set(name, { spec, family, elements });
    }
    for (const [name, keys] of ports) {
      const made = (): PlannedSet => ({
        spec: { name, key: ["meta l4proto", "th dport"], interval: true },
        family,
        elements: elementsOf(keys),
      });
      planned.set(name, before.get(name) ?? made());
    }
    this.#asked[family] = planned;
    return [...planned.values()];
  }

  #setsAsked(side: NetworkSide, set: PolicySet): AskedSets {
    const known = this.#asking.get(side)?.get(set);
    if (known !== undefined) return known;
    const asked = setsAsked(side, set);
    this.#asking.get(side)?.set(set, asked);
    return asked;
  }

  #memberElements(addresses: ReadonlySet<string>): ByFamily<Elements> {
    const known = this.#members.get(addresses);
    if (known !== undefined) return known;
    const made = { ip: addressElements("ip", addresses), ip6: addressElements("ip6", addresses) };
    this.#members.set(addresses, made);
    return made;
  }

  #gateElements({ gates }: NetworkWorld): ByFamily<Elements> {
    const known = this.#gates.get(gates);
    if (known !== undefined) return known;
    const pairs = gates.map(({ address, ingress }) => [address, ingress] as const);
    const made = { ip: jumps("ip", "gate", pairs), ip6: jumps("ip6", "gate", pairs) };
    this.#gates.set(gates, made);
    return made;
  }
}

function usedSets({ pods, gates }: NetworkWorld): UsedSets {
  const byId = (sets: readonly (PolicySet | undefined)[]): ReadonlyMap<string, PolicySet> =>
    new Map(sets.filter((set) => set !== undefined).map((set) => [set.id, set]));
  return {
    in: byId(pods.map(({ ingress }) => ingress)),
    out: byId(pods.map(({ egress }) => egress)),
    node: byId(pods.map(({ egress }) => egress?.ownNode)),
    gate: byId(gates.map(({ ingress }) => ingress)),
  };
}

/** What is known of this node's own addresses. */
function addressSets(family: Family, world: NetworkWorld): readonly PlannedSet[] {
  const { pods, hold, podCidrs } = world;
  const isolated = pods
    .filter(({ ingress, egress }) => (ingress ?? egress) !== undefined)
    .flatMap(({ addresses }) => addresses);
  const own = isolated.filter((address) => familyFits(family, address));
  const held = hold ? mergeCidrs(podCidrs) : [];
  const known = hold ? pods.flatMap(({ addresses }) => addresses) : [];
  const map = (
    side: "out" | "in" | "node",
    setOf: (pod: NetworkPod) => PolicySet | undefined,
  ): PlannedSet => {
    const pairs = pods.flatMap((pod) => {
      const set = setOf(pod);
      return set === undefined ? [] : pod.addresses.map((address) => [address, set] as const);
    });
    return { spec: MAPS[side], family, elements: jumps(family, side, pairs) };
  };
  return [
    map("out", ({ egress }) => egress),
    map("in", ({ ingress }) => ingress),
    map("node", ({ egress }) => egress?.ownNode),
    { spec: ISOLATED, family, elements: elementsOf(own) },
    { spec: SELF, family, elements: elementsOf(own.map((one) => `${one} . ${one}`)) },
    { spec: HELD, family, elements: addressElements(family, held) },
    { spec: KNOWN, family, elements: addressElements(family, known) },
  ];
}

/** An address that several pods claim is judged by the set of the first. */
function jumps(
  family: Family,
  side: NetworkSide,
  pairs: readonly (readonly [address: string, set: PolicySet])[],
): Elements {
  const elements = new Map<string, Element>();
  for (const [key, set] of pairs) {
    if (!familyFits(family, key) || elements.has(key)) continue;
    elements.set(key, { key, data: `jump ${chainName(side, set)}` });
  }
  return elements;
}

function addressElements(family: Family, addresses: Iterable<string>): Elements {
  return elementsOf([...addresses].filter((address) => familyFits(family, address)));
}

/** Where flows are judged, and where they end; base chains first. */
function flowChains(family: Family, { logGroup, hold }: NetworkWorld): readonly Chain[] {
  const known: Rule = [{ kind: "ct-known" }, accept];
  // Nobody tracks what neighbours say. Of what is routed no neighbour would hear.
  const neighbours = (...where: Rule): readonly Rule[] =>
    [NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT].flatMap((type) =>
      family === "ip6" ? [[{ kind: "icmpv6-type", type }, ...where, accept]] : [],
    );
  const isBridged = inSet(BRIDGED.name, field("meta iif"), field("meta oif"));
  const isBroken: Statement = { kind: "tcp-not-syn" };
  const ended: Rule = [{ kind: "count", counter: DENIED_COUNTERS.ended }, drop];
  const saddr = field("saddr");
  const daddr = field("daddr");
  const unknown = (side: typeof saddr): Rule => [
    inSet(HELD.name, side),
    { ...inSet(KNOWN.name, side), negate: true },
    goto(DENIED.held),
  ];
  return [
    base("policy-forward", "filter", "forward", 0, [
      known,
      ...neighbours(isBridged),
      [goto("policy-flow")],
    ]),
    base("policy-input", "filter", "input", 0, [
      known,
      ...neighbours(),
      // What a worker takes is not for the node.
      [
        { kind: "mark-has", mask: DELIVERED_MARK, negate: true },
        { kind: "fib-local", field: "daddr" },
        { kind: "vmap", key: [saddr], map: MAPS.node.name },
      ],
    ]),
    base("policy-output", "filter", "output", 0, [
      known,
      // A worker has judged what it sends, and goes on doing so.
      [{ kind: "mark-has", mask: SOCKET_MARK }, { kind: "set-ct-mark", mask: SOCKET_MARK }, accept],
      [{ kind: "fib-local", field: "saddr" }, accept],
      [goto("policy-flow")],
    ]),
    plain("policy-flow", [
      // The middle of a flow that was ended, whichever way: conntrack would take it for new.
      [isBroken, inSet(ISOLATED.name, saddr), ...ended],
      [isBroken, inSet(ISOLATED.name, daddr), ...ended],
      [{ kind: "vmap", key: [saddr], map: MAPS.out.name }],
      [{ kind: "vmap", key: [daddr], map: MAPS.in.name }],
      ...(hold ? [unknown(saddr), unknown(daddr)] : []),
    ]),
    ...[DENIED.in, DENIED.out, DENIED.proven, DENIED.held].map((name) =>
      plain(name, [...logs(name, logGroup), [{ kind: "count", counter: name }, drop]]),
    ),
  ];
}

function logs(prefix: string, group: number | undefined): readonly Rule[] {
  if (group === undefined) return [];
  return [[{ kind: "log", prefix, group, perSecond: LOGS_PER_SECOND }]];
}
