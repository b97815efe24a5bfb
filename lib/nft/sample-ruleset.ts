// A small ruleset in the shape of the kernel lane that uses every noun of `objects.ts`: what the
// goldens, the contract suite and the comparison of the backends load.

import type {
  ChainSpec,
  Change,
  Element,
  Family,
  Operand,
  Rule,
  SetSpec,
  Statement,
  Transaction,
} from "./objects.ts";

const PRIORITY: Operand = { kind: "field", field: "meta priority" };
const SADDR: Operand = { kind: "field", field: "saddr" };
const DADDR: Operand = { kind: "field", field: "daddr" };
const PROTOCOL: Operand = { kind: "field", field: "meta l4proto" };
const PORT: Operand = { kind: "field", field: "th dport" };
const GROUP: Operand = { kind: "masked-priority", mask: 0xffff0000 };

/** The sets by name; `interval`, `dynamic`, comments and each field occur. */
export const sampleSets = {
  vips: {
    name: "vips",
    key: ["daddr", "meta l4proto", "th dport"],
    data: ["meta priority"],
    comment: "entry points",
  },
  nodeports: { name: "nodeports", key: ["meta l4proto", "th dport"], data: ["meta priority"] },
  clusterIps: { name: "cluster-ips", key: ["daddr"] },
  localPods: { name: "local-pods", key: ["saddr"], interval: true },
  hairpin: { name: "hairpin", key: ["saddr", "daddr"] },
  sourceRanges: { name: "lb-allow", key: ["meta priority", "saddr"], interval: true },
  setVerdicts: { name: "esets", key: ["meta priority"], data: "verdict" },
  endpoints: { name: "endpoints", key: ["meta priority", "index"], data: ["daddr", "th dport"] },
  choices: { name: "aff-choice", key: ["meta priority", "index"], data: ["meta priority"] },
  live: { name: "aff-live", key: ["meta priority"], data: "verdict" },
  single: { name: "aff-ep", key: ["meta priority"], data: ["daddr", "th dport"] },
  affinity: {
    name: "affinity",
    key: ["saddr", "meta priority"],
    data: ["meta priority"],
    dynamic: { timeoutSeconds: 10_800, size: 262_144 },
  },
  uplinks: { name: "uplinks", key: ["meta iifname"] },
  alive: { name: "alive", key: ["meta l4proto"], timeoutSeconds: 3 },
} as const satisfies Record<string, SetSpec>;

/** Makes the whole table from nothing. IPv6 has the rules that only the netlink encoder writes. */
export function sampleRuleset(family: Family, table = "innermesh"): Transaction {
  return {
    family,
    table,
    changes: [
      { kind: "add-table", comment: "made by Innermesh" },
      ...Object.values(sampleSets).map((set): Change => ({ kind: "add-set", set })),
      ...sampleChains.map((chain): Change => ({ kind: "add-chain", chain })),
      ...sampleElements(family),
      ...sampleRules(family),
    ],
  };
}

/** Leaves out what nft 1.0.6 cannot read: map updates keyed by an IPv6 address. */
export function withoutRemember(transaction: Transaction): Transaction {
  if (transaction.family === "ip") return transaction;
  const changes = transaction.changes.filter(
    (change) => change.kind !== "add-rule" || change.rule.every(({ kind }) => kind !== "remember"),
  );
  return { ...transaction, changes };
}

const sampleChains: readonly ChainSpec[] = [
  { name: "prerouting", base: { type: "nat", hook: "prerouting", priority: -100 } },
  { name: "output", base: { type: "nat", hook: "output", priority: -100 } },
  { name: "services" },
  { name: "dispatch" },
  { name: "external" },
  { name: "refuse" },
  { name: "mod-2" },
  { name: "aff-2" },
  { name: "aff-use" },
  { name: "forward", base: { type: "filter", hook: "forward", priority: 0 } },
  { name: "lane-in", base: { type: "filter", hook: "prerouting", priority: -150 } },
  { name: "divert", base: { type: "route", hook: "output", priority: -150 } },
  { name: "postrouting", base: { type: "nat", hook: "postrouting", priority: 100 } },
];

function sampleElements(family: Family): Change[] {
  const [vip, pod1, pod2, pods, odd] =
    family === "ip"
      ? ["10.96.0.10", "10.71.1.2", "10.71.2.3", "10.71.1.0/24", "192.168.77.128/25"]
      : ["fd96::10", "fd71:1::2", "fd71:2::3", "fd71:1::/64", "fd77::8000/113"];
  const all = family === "ip" ? "255.255.255.255" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  const add = (set: SetSpec, ...elements: Element[]): Change => ({
    kind: "add-elements",
    set,
    elements,
  });
  const sets = sampleSets;
  return [
    add(
      sets.vips,
      { key: `${vip} . tcp . 80`, data: "0:1", comment: "default/web:http" },
      { key: `${vip} . udp . 53`, data: "0:2" },
      { key: `${vip} . sctp . 9`, data: "8001:0" },
    ),
    add(sets.nodeports, { key: "tcp . 30080", data: "0:1" }),
    add(sets.clusterIps, { key: vip, comment: "web" }),
    add(sets.localPods, { key: pods, comment: "pods" }, { key: `${pod2}${hostLength(family)}` }),
    add(sets.localPods, { key: `${all}${hostLength(family)}` }),
    add(sets.hairpin, { key: `${pod1} . ${pod1}` }),
    add(
      sets.sourceRanges,
      { key: `0:18 . ${odd}`, comment: "office" },
      { key: `0:18 . ${pod2}${hostLength(family)}` },
      { key: `0:1a . ${pods}` },
    ),
    add(
      sets.setVerdicts,
      { key: "0:1", data: "goto mod-2", comment: "default/web" },
      { key: "0:2", data: "drop" },
      { key: "0:3", data: "jump refuse" },
      { key: "0:4", data: "accept" },
      { key: "8001:0", data: "goto aff-2" },
    ),
    add(
      sets.endpoints,
      { key: "0:1 . 0", data: `${pod1} . 8080`, comment: "default/web-1" },
      { key: "0:1 . 1", data: `${pod2} . 8080` },
    ),
    add(sets.choices, { key: "8001:0 . 0", data: "8001:1" }, { key: "8001:0 . 1", data: "8001:2" }),
    add(sets.live, { key: "8001:1", data: "goto aff-use" }),
    add(sets.single, { key: "8001:1", data: `${pod1} . 8080` }),
    add(sets.uplinks, { key: "eth0" }, { key: "eth0.100" }),
  ];
}

function hostLength(family: Family): string {
  return family === "ip" ? "/32" : "/128";
}

function sampleRules(family: Family): Change[] {
  return [
    ...entryRules(family),
    ...originRules(),
    ...endpointRules(),
    ...affinityRules(),
    ...laneRules(),
    ...afterwardsRules(),
  ];
}

function rule(chain: string, ...statements: Rule): Change {
  return { kind: "add-rule", chain, rule: statements };
}

function goto(chain: string): Statement {
  return { kind: "verdict", verdict: { kind: "goto", chain } };
}

function random(modulus: number): Operand {
  return { kind: "random", modulus };
}

function entryRules(family: Family): Change[] {
  const [loopback, cluster] =
    family === "ip" ? ["127.0.0.0/8", "10.96.0.0/12"] : ["::1/128", "fd96::/108"];
  return [
    rule(
      "prerouting",
      { kind: "mark-has", mask: 0x1000 },
      { kind: "verdict", verdict: { kind: "accept" } },
    ),
    rule("prerouting", goto("services")),
    rule("output", { kind: "verdict", verdict: { kind: "jump", chain: "services" } }),
    rule(
      "services",
      { kind: "set-priority", key: [DADDR, PROTOCOL, PORT], map: "vips" },
      goto("dispatch"),
    ),
    rule("services", { kind: "in-set", key: [DADDR], set: "cluster-ips" }, goto("refuse")),
    rule(
      "services",
      { kind: "prefix", field: "daddr", prefix: loopback, negate: true },
      { kind: "prefix", field: "daddr", prefix: cluster },
      { kind: "verdict", verdict: { kind: "drop" } },
    ),
  ];
}

function originRules(): Change[] {
  return [
    rule(
      "dispatch",
      { kind: "in-set", key: [SADDR], set: "local-pods", negate: true },
      { kind: "set-mark", operator: "|", mask: 0x4000 },
    ),
    rule("dispatch", { kind: "iifname", name: "veth*", negate: true }, goto("external")),
    rule("dispatch", { kind: "iifname", name: "eth0" }, goto("external")),
    rule("dispatch", { kind: "vmap", key: [PRIORITY], map: "esets" }),
    rule("external", { kind: "fib-local", field: "saddr" }, goto("refuse")),
    rule("external", { kind: "fib-local", field: "daddr" }, goto("refuse")),
    rule("external", { kind: "set-mark", operator: "&", mask: 0xffffbfff }),
    rule(
      "external",
      { kind: "in-set", key: [PRIORITY, SADDR], set: "lb-allow" },
      { kind: "verdict", verdict: { kind: "return" } },
    ),
  ];
}

function endpointRules(): Change[] {
  return [
    rule("refuse", { kind: "reject" }),
    rule("mod-2", { kind: "dnat", key: [PRIORITY, random(2)], map: "endpoints" }),
    rule("mod-2", { kind: "dnat", key: [PRIORITY, random(1)], map: "endpoints" }),
  ];
}

function affinityRules(): Change[] {
  return [
    rule("aff-2", { kind: "set-priority", key: [SADDR, PRIORITY], map: "affinity" }),
    rule("aff-2", { kind: "remember", operation: "delete", key: [SADDR, GROUP], map: "affinity" }),
    rule("aff-2", { kind: "mask-priority", mask: 0xffff0000 }),
    rule(
      "aff-2",
      { kind: "set-priority", key: [PRIORITY, random(2)], map: "aff-choice" },
      { kind: "vmap", key: [PRIORITY], map: "aff-live" },
    ),
    rule("aff-use", {
      kind: "remember",
      operation: "update",
      key: [SADDR, GROUP],
      map: "affinity",
      timeoutSeconds: 6,
    }),
    rule("aff-use", { kind: "dnat", key: [PRIORITY], map: "aff-ep" }),
  ];
}

function laneRules(): Change[] {
  const accept: Statement = { kind: "verdict", verdict: { kind: "accept" } };
  return [
    rule(
      "lane-in",
      { kind: "l4proto", protocol: "icmp" },
      { kind: "socket-transparent" },
      { kind: "socket-mark-has", mask: 0x800 },
      accept,
    ),
    rule("lane-in", { kind: "l4proto", protocol: "tcp", negate: true }, accept),
    rule("lane-in", { kind: "tcp-not-syn" }, { kind: "socket-transparent" }, accept),
    rule("lane-in", { kind: "ct-mark-has", mask: 0x1000 }, { kind: "ct-reply" }, accept),
    rule("lane-in", { kind: "ct-snat" }, accept),
    rule("lane-in", { kind: "set-ct-mark", mask: 0x1000 }),
    rule("lane-in", { kind: "fib-local", field: "daddr", negate: true }, accept),
    rule(
      "lane-in",
      { kind: "in-set", key: [PROTOCOL], set: "alive" },
      { kind: "tproxy", port: 15_001 },
      { kind: "set-mark", operator: "|", mask: 0x1000 },
      accept,
    ),
  ];
}

function afterwardsRules(): Change[] {
  return [
    rule("forward", { kind: "ct-known" }, { kind: "verdict", verdict: { kind: "accept" } }),
    rule("forward", { kind: "ct-new" }, { kind: "ct-dnat" }, { kind: "clear-priority" }),
    rule("forward", { kind: "log", prefix: "untold", group: 5, perSecond: 10 }),
    rule(
      "divert",
      { kind: "in-set", key: [{ kind: "field", field: "meta iifname" }], set: "uplinks" },
      { kind: "set-mark", operator: "^", mask: 0x800 },
    ),
    rule(
      "postrouting",
      { kind: "mark-has", mask: 0x4000 },
      { kind: "set-mark", operator: "^", mask: 0x4000 },
      { kind: "masquerade" },
    ),
    rule(
      "postrouting",
      { kind: "ct-dnat" },
      { kind: "in-set", key: [SADDR, DADDR], set: "hairpin" },
      { kind: "masquerade" },
    ),
  ];
}
