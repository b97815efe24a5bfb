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
  groupsAsked,
  groupSetName,
  type NetworkSide,
  SELF_SET,
  setChains,
} from "./network-rules.ts";
import type { NetworkWorld } from "./network-world.ts";
import { chainOf, elementsOf, SOCKET_MARK } from "./policy-table-parts.ts";

const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;
/** Denials that are told, of each sort. */
const LOGS_PER_SECOND = 10;

const SIDES = ["out", "in", "gate"] as const;
const MAPS = {
  out: { name: "policy-out", key: ["saddr"], data: "verdict" },
  in: { name: "policy-in", key: ["daddr"], data: "verdict" },
  gate: { name: "policy-gate", key: ["daddr"], data: "verdict" },
} as const satisfies Record<NetworkSide, SetSpec>;
/** Addresses that some set is about. */
const ISOLATED: SetSpec = { name: "isolated", key: ["saddr"] };
const SELF: SetSpec = { name: SELF_SET, key: ["saddr", "daddr"] };
const HELD: SetSpec = { name: "held", key: ["saddr"], interval: true };
/** Addresses of pods that are known, while some are held. */
const KNOWN: SetSpec = { name: "known", key: ["saddr"] };

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

type AskedGroups = ReturnType<typeof groupsAsked>;
type Elements = ReadonlyMap<string, Element>;
type ByFamily<T> = Readonly<Record<Family, T>>;
/** By id, so that pods that share a set share its chains. */
type UsedSets = Readonly<Record<NetworkSide, ReadonlyMap<string, PolicySet>>>;

const NOBODY: ReadonlySet<string> = new Set();

/** Remembers what the last plan was made of: most of a cluster is as it was. */
export class NetworkPlanner {
  readonly #compiled: Record<Family, ReadonlyMap<string, readonly PlannedChain[]>> = {
    ip: new Map(),
    ip6: new Map(),
  };
  readonly #members = new WeakMap<ReadonlySet<string>, ByFamily<Elements>>();
  readonly #gates = new WeakMap<NetworkWorld["gates"], ByFamily<Elements>>();
  readonly #asked = new Map<NetworkSide, WeakMap<PolicySet, AskedGroups>>(
    SIDES.map((side) => [side, new WeakMap()]),
  );
  readonly #groups: Record<Family, ReadonlyMap<string, PlannedSet>> = {
    ip: new Map(),
    ip6: new Map(),
  };

  /** One family's sets and chains. */
  plan(family: Family, world: NetworkWorld): NetworkParts {
    const used = usedSets(world);
    const gates = { spec: MAPS.gate, family, elements: this.#gateElements(world)[family] };
    return {
      sets: [...addressSets(family, world), gates, ...this.#groupSets(family, world, used)],
      chains: [
        ...flowChains(family, world).map((chain) => chainOf(family, chain)),
        ...this.#setChains(family, used),
      ],
    };
  }

  #setChains(family: Family, used: UsedSets): readonly PlannedChain[] {
    const before = this.#compiled[family];
    const compiled = new Map<string, readonly PlannedChain[]>();
    for (const side of SIDES) {
      for (const set of used[side].values()) {
        const name = chainName(side, set);
        const compile = (): readonly PlannedChain[] =>
          setChains(side, family, set).map((chain) => chainOf(family, chain));
        compiled.set(name, before.get(name) ?? compile());
      }
    }
    this.#compiled[family] = compiled;
    return [...compiled.values()].flat();
  }

  #groupSets(family: Family, world: NetworkWorld, used: UsedSets): readonly PlannedSet[] {
    const members = new Map<string, ReadonlySet<string>>();
    for (const side of SIDES) {
      for (const set of used[side].values()) {
        const asked = this.#groupsAsked(side, set);
        for (const id of asked.addresses) {
          members.set(groupSetName(id), world.groups.addresses(id) ?? NOBODY);
        }
        for (const id of asked.carriers) members.set(carrierSetName(id), world.carriers(id));
      }
    }
    const before = this.#groups[family];
    const planned = new Map<string, PlannedSet>();
    for (const [name, addresses] of members) {
      const elements = this.#memberElements(addresses)[family];
      const { spec = { name, key: ["saddr"] } } = before.get(name) ?? {};
      planned.set(name, { spec, family, elements });
    }
    this.#groups[family] = planned;
    return [...planned.values()];
  }

  #groupsAsked(side: NetworkSide, set: PolicySet): AskedGroups {
    const known = this.#asked.get(side)?.get(set);
    if (known !== undefined) return known;
    const asked = groupsAsked(side, set);
    this.#asked.get(side)?.set(set, asked);
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
  const sets = (direction: "ingress" | "egress") =>
    pods.flatMap((pod) => {
      const set = pod[direction];
      return set === undefined ? [] : pod.addresses.map((address) => [address, set] as const);
    });
  return [
    { spec: MAPS.out, family, elements: jumps(family, "out", sets("egress")) },
    { spec: MAPS.in, family, elements: jumps(family, "in", sets("ingress")) },
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
  // Between ports of a bridge; nobody tracks them.
  const neighbours: readonly Rule[] = [NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT].map(
    (type) => [{ kind: "icmpv6-type", type }, accept],
  );
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
      ...(family === "ip6" ? neighbours : []),
      [goto("policy-flow")],
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
