// The part of the table that does not depend on any Service: sets, chains and rules. One first
// lookup turns (address, protocol, port) into an endpoint-set id, kept in `meta priority`; every
// later step is one lookup by that id in a shared map. docs/adr/0003 tells why, with numbers.

import type { Family, Field, Rule, SetSpec, Statement } from "../../lib/nft/objects.ts";
import { DEFAULT_LANE, DELIVERED_MARK, type LaneOptions, LIFT_LINKS } from "./lane-marks.ts";
import { laneChains, negated, type OriginMatch } from "./lane-rules.ts";
import {
  accept,
  base,
  type Chain,
  drop,
  field,
  goto,
  inSet,
  plain,
  priority,
  random,
  setPriority,
} from "../../lib/nft/rule-parts.ts";

export const TABLE = "innermesh";

/** How a node tells the traffic of its own pods from the rest. */
export type LocalDetector =
  | { readonly kind: "none" }
  /** Source address in these prefixes, kept in set `local-pods`. */
  | { readonly kind: "cidr" }
  /** Enters through this bridge. */
  | { readonly kind: "bridge"; readonly interface: string }
  /** Enters through an interface whose name starts so. */
  | { readonly kind: "prefix"; readonly prefix: string };

export interface RulesetOptions {
  readonly family: Family;
  readonly detector: LocalDetector;
  readonly masqueradeAll: boolean;
  /** One bit: the packet is masqueraded in postrouting. */
  readonly masqueradeMark: number;
  /** NodePorts answer on every local address but loopback, instead of `nodeport-ips` only. */
  readonly nodePortsEverywhere: boolean;
  /** @default DEFAULT_LANE */
  readonly lane?: LaneOptions;
  /** Not everybody may connect to Services of lanes. @default false */
  readonly gated?: boolean;
  /** See LaneGate. */
  readonly logGroup?: number | undefined;
}

/** What endpoint sets of the moment need beside the fixed chains. */
export interface Demand {
  readonly counts: ReadonlySet<number>;
  readonly affinityCounts: ReadonlySet<number>;
  readonly affinitySeconds: ReadonlySet<number>;
  /** Some Service is in a userspace lane. */
  readonly lane?: boolean;
}

const AFFINITY_MASK = 0xffff_0000;

const set = (name: string, key: readonly Field[], more: Partial<SetSpec> = {}): SetSpec => ({
  name,
  key,
  ...more,
});

/** The sets that every node has. */
export const SETS: readonly SetSpec[] = [
  set("vips", ["daddr", "meta l4proto", "th dport"], { data: ["meta priority"] }),
  set("nodeports", ["meta l4proto", "th dport"], { data: ["meta priority"] }),
  set("nodeport-ips", ["daddr"]),
  set("cluster-ips", ["daddr"]),
  set("service-cidrs", ["daddr"], { interval: true }),
  set("local-pods", ["saddr"], { interval: true }),
  set("hairpin", ["saddr", "daddr"]),
  set("lb-allow", ["meta priority", "saddr"], { interval: true }),
  set("ext", ["meta priority"], { data: "verdict" }),
  set("cluster-of", ["meta priority"], { data: ["meta priority"] }),
  set("local-of", ["meta priority"], { data: ["meta priority"] }),
  set("esets", ["meta priority"], { data: "verdict" }),
  set("endpoints", ["meta priority", "index"], { data: ["daddr", "th dport"] }),
  set("aff-choice", ["meta priority", "index"], { data: ["meta priority"] }),
  set("aff-live", ["meta priority"], { data: "verdict" }),
  set("aff-ep", ["meta priority"], { data: ["daddr", "th dport"] }),
  set("affinity", ["saddr", "meta priority"], {
    data: ["meta priority"],
    dynamic: { timeoutSeconds: 10_800, size: 262_144 },
  }),
  set("lane-vips", ["daddr", "meta l4proto", "th dport"], { data: ["meta priority"] }),
  set("lane-nodeports", ["meta l4proto", "th dport"], { data: ["meta priority"] }),
  set("lane-ranged", ["meta priority"]),
  set("alive", ["meta l4proto"], { timeoutSeconds: 3 }),
];

/** What there is beside them where connections to lanes are gated. */
const GATE_SETS: readonly SetSpec[] = [
  set("lane-pods", ["saddr"]),
  set("lane-isolated", ["saddr"]),
  set("lane-guarded", ["meta priority"]),
  set("lane-allow", ["saddr", "meta priority"]),
  set("lane-allow-blocks", ["meta priority", "saddr"], { interval: true }),
  set("lane-host-denied", ["meta priority"]),
];

const SETS_BY_NAME: ReadonlyMap<string, SetSpec> = new Map(
  [...SETS, ...GATE_SETS].map((spec) => [spec.name, spec]),
);

/** Every set of the table, in an order in which they can be created. */
export function tableSets({ gated = false }: RulesetOptions): readonly SetSpec[] {
  return gated ? [...SETS, ...GATE_SETS] : SETS;
}

/** The set of that name; asking for one that is not planned is a bug. */
export function setSpec(name: string): SetSpec {
  const spec = SETS_BY_NAME.get(name);
  if (spec === undefined) throw new Error(`Cannot find set "${name}": not part of the ruleset`);
  return spec;
}

/** The chains that are always there; base chains first. */
export function fixedChains(options: RulesetOptions): readonly Chain[] {
  const mark: Statement = { kind: "set-mark", operator: "|", mask: options.masqueradeMark };
  const unmark: Statement = {
    kind: "set-mark",
    operator: "&",
    mask: ~options.masqueradeMark >>> 0,
  };
  const lane: Rule = [{ kind: "mark-has", mask: DELIVERED_MARK }, accept];
  const fromPods = localOrigins(options.detector);
  const toCluster: Rule = [setPriority("cluster-of", priority)];
  const clear: Rule = [{ kind: "ct-new" }, { kind: "ct-dnat" }, { kind: "clear-priority" }];
  return [
    base("prerouting", "nat", "prerouting", -100, [lane, [goto("services")]]),
    base("output", "nat", "output", -100, [lane, [goto("services")]]),
    base("forward", "filter", "forward", 0, [clear]),
    base("local-out", "filter", "output", 0, [clear]),
    base("postrouting", "nat", "postrouting", 100, masquerading(options)),
    plain("services", services(options)),
    plain("dispatch", [
      ...clusterMasquerade(options, mark),
      [{ kind: "vmap", key: [priority], map: "ext" }],
      [{ kind: "vmap", key: [priority], map: "esets" }],
    ]),
    plain("etp-cluster", [[mark], toCluster]),
    plain("etp-local", [
      [unmark],
      ...fromPods.map((match): Rule => [match, goto("to-cluster")]),
      [{ kind: "fib-local", field: "saddr" }, goto("etp-cluster")],
      [setPriority("local-of", priority)],
    ]),
    plain("to-cluster", [toCluster]),
    plain("lb-cluster", allowed("etp-cluster")),
    plain("lb-local", allowed("etp-local")),
    // A reset says so at once to each of many clients; ICMP errors are limited to a few a second.
    plain("refuse", [[{ kind: "reset-tcp" }], [{ kind: "reject" }]]),
  ];
}

/** The chains that depend on what Services there are; base chains first. */
export function demandedChains(options: RulesetOptions, demand: Demand): readonly Chain[] {
  return [
    ...(demand.lane === true ? laneChains(laneRuleset(options)) : []),
    ...[...demand.counts].sort(ascending).map(countChain),
    ...[...demand.affinitySeconds].sort(ascending).map(affinityUseChain),
    ...[...demand.affinityCounts].sort(ascending).map(affinityChain),
  ];
}

/**
 * Spreads over N endpoints. A packet that straddles two generations of a set may draw a position
 * that is gone: the second rule takes the first position, which is there while the set is not
 * empty; an emptied set refuses.
 */
function countChain(count: number): Chain {
  const dnat = (modulus: number): Rule => [
    { kind: "dnat", key: [priority, random(modulus)], map: "endpoints" },
  ];
  const rules = count === 1 ? [dnat(1)] : [dnat(count), dnat(1)];
  return plain(`mod-${count}`, [...rules, [goto("refuse")]]);
}

/** Remembers the client's endpoint and goes there. */
function affinityUseChain(seconds: number): Chain {
  return plain(`aff-use-${seconds}`, [
    [affinity("update", seconds)],
    [{ kind: "dnat", key: [priority], map: "aff-ep" }],
    [goto("refuse")],
  ]);
}

/**
 * Looks for the client's last endpoint, uses it while it lives, else draws a new one. The stale
 * entry goes first: `update` keeps the data of an entry that exists.
 */
function affinityChain(count: number): Chain {
  const live: Statement = { kind: "vmap", key: [priority], map: "aff-live" };
  const draw = (modulus: number): Rule => [
    setPriority("aff-choice", priority, random(modulus)),
    live,
  ];
  return plain(`aff-${count}`, [
    [setPriority("affinity", field("saddr"), priority)],
    [live],
    [affinity("delete")],
    [{ kind: "mask-priority", mask: AFFINITY_MASK }],
    draw(count),
    ...(count === 1 ? [] : [draw(1)]),
    [goto("refuse")],
  ]);
}

function affinity(operation: "update" | "delete", seconds?: number): Statement {
  return {
    kind: "remember",
    operation,
    key: [field("saddr"), { kind: "masked-priority", mask: AFFINITY_MASK }],
    map: "affinity",
    ...(seconds === undefined ? {} : { timeoutSeconds: seconds }),
  };
}

/** A connection that a bridge port's SYN lift took up arrives through this link: it is a pod's. */
const LIFTED: OriginMatch = { kind: "iifname", name: LIFT_LINKS.in };

function laneRuleset(options: RulesetOptions): Parameters<typeof laneChains>[0] {
  return {
    lane: options.lane ?? DEFAULT_LANE,
    gated: options.gated ?? false,
    logGroup: options.logGroup,
    fromPods: localOrigins(options.detector),
    onNode: onNode(options),
  };
}

function services(options: RulesetOptions): readonly Rule[] {
  const nodePort: Rule = [
    setPriority("nodeports", field("meta l4proto"), field("th dport")),
    goto("dispatch"),
  ];
  return [
    [
      setPriority("vips", field("daddr"), field("meta l4proto"), field("th dport")),
      goto("dispatch"),
    ],
    [...onNode(options), ...nodePort],
    [inSet("cluster-ips", field("daddr")), goto("refuse")],
    [inSet("service-cidrs", field("daddr")), drop],
  ];
}

/** Matches the addresses where NodePorts answer. */
function onNode(options: RulesetOptions): Rule {
  if (!options.nodePortsEverywhere) return [inSet("nodeport-ips", field("daddr"))];
  const loopback = options.family === "ip" ? "127.0.0.0/8" : "::1/128";
  return [
    { kind: "fib-local", field: "daddr" },
    { kind: "prefix", field: "daddr", prefix: loopback, negate: true },
  ];
}

/** Marks traffic to ClusterIPs whose replies would not come back through this node. */
function clusterMasquerade(options: RulesetOptions, mark: Statement): readonly Rule[] {
  if (options.masqueradeAll) return [[mark]];
  const fromElsewhere = localOrigins(options.detector).map(negated);
  return fromElsewhere.length === 0 ? [] : [[...fromElsewhere, mark]];
}

/** Traffic of this node's own pods matches one of these; none when it cannot be told. */
function localOrigins(detector: LocalDetector): readonly OriginMatch[] {
  switch (detector.kind) {
    case "none":
      return [];
    case "cidr":
      return [inSet("local-pods", field("saddr"))];
    case "bridge":
      return [{ kind: "iifname", name: detector.interface }, LIFTED];
    case "prefix":
      return [{ kind: "iifname", name: `${detector.prefix}*` }, LIFTED];
    default:
      return detector satisfies never;
  }
}

/** The mark is cleared as it is used: a tunnel that reuses the packet must not meet it again. */
function masquerading(options: RulesetOptions): readonly Rule[] {
  const mask = options.masqueradeMark;
  return [
    [{ kind: "mark-has", mask }, { kind: "set-mark", operator: "^", mask }, { kind: "masquerade" }],
    [{ kind: "ct-dnat" }, inSet("hairpin", field("saddr"), field("daddr")), { kind: "masquerade" }],
  ];
}

function allowed(chain: string): readonly Rule[] {
  return [[inSet("lb-allow", priority, field("saddr")), goto(chain)], [drop]];
}

function ascending(a: number, b: number): number {
  return a - b;
}
