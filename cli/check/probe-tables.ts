// Throw-away tables that prove what the kernel takes: made and deleted in one batch, so that no
// packet ever meets them. Pure.

import type { Change, Family, Hook, Rule, Statement, Transaction } from "../../lib/nft/objects.ts";
import { chainChanges } from "../../service-proxy/plan/changes.ts";
import {
  demandedChains,
  fixedChains,
  type RulesetOptions,
  SETS,
  setSpec,
} from "../../service-proxy/plan/ruleset.ts";

const PROBE_TABLE = "innermesh-check";

/** A part of our ruleset, alone in a table. */
export interface Probe {
  readonly part: string;
  readonly transaction: Transaction;
}

/** What a table is for: what every node needs, or what proxy lanes need beside it. */
export type ProbePurpose = "services" | "lanes";

/** Everything our table can hold but elements. */
export function wholeProbe(options: RulesetOptions, purpose: ProbePurpose): Transaction {
  const demand = {
    counts: new Set([1, 2]),
    affinityCounts: new Set([1, 2]),
    affinitySeconds: new Set([1]),
    lane: purpose === "lanes",
  };
  const chains = [...fixedChains(options), ...demandedChains(options, demand)];
  return probe(options.family, [
    ...SETS.map((set): Change => ({ kind: "add-set", set })),
    ...chainChanges(chains),
  ]);
}

/** The same by its parts, to tell which of them a kernel lacks. */
export function partProbes(options: RulesetOptions, purpose: ProbePurpose): readonly Probe[] {
  const parts = purpose === "services" ? serviceParts(options) : laneParts();
  return parts.map(([part, changes]) => ({ part, transaction: probe(options.family, changes) }));
}

type Part = readonly [part: string, changes: readonly Change[]];

function laneParts(): readonly Part[] {
  const mangle = (...rule: Statement[]): Change[] => chainWith("filter", "prerouting", -150, rule);
  return [
    ["transparent proxying", mangle({ kind: "tproxy", port: 1 })],
    ["transparent sockets", mangle({ kind: "socket-transparent" })],
    ["routing by marks", chainWith("route", "output", -150, [])],
    ["connection marks", mangle({ kind: "set-ct-mark", mask: 1 })],
  ];
}

function serviceParts({ masqueradeMark: mask }: RulesetOptions): readonly Part[] {
  const daddr = { kind: "field", field: "daddr" } as const;
  const inNat = (hook: Hook, priority: number, ...rule: Statement[]): Change[] =>
    chainWith("nat", hook, priority, rule);
  const prerouting = (...rule: Statement[]): Change[] => inNat("prerouting", -100, ...rule);
  const forward = (...rule: Statement[]): Change[] => chainWith("filter", "forward", 0, rule);
  const set = (name: string): Change => ({ kind: "add-set", set: setSpec(name) });
  const priority = { kind: "field", field: "meta priority" } as const;
  const draw = { kind: "random", modulus: 2 } as const;
  return [
    ["sets of concatenated fields", [set("vips")]],
    ["prefixes in concatenated sets", [set("lb-allow")]],
    ["maps that packets write to", [set("affinity")]],
    ["verdict maps", [set("esets")]],
    ["nat chains", prerouting()],
    ["fib", prerouting({ kind: "fib-local", field: "saddr" })],
    ["connection tracking", forward({ kind: "ct-new" }, { kind: "ct-dnat" })],
    ["packet marks", prerouting({ kind: "set-mark", operator: "|", mask })],
    ["reject in nat chains", prerouting({ kind: "reject" })],
    ["lookups", [set("cluster-ips"), ...prerouting(lookup("cluster-ips", daddr))]],
    [
      "DNAT to a random endpoint of a map",
      [set("endpoints"), ...prerouting({ kind: "dnat", key: [priority, draw], map: "endpoints" })],
    ],
    ["masquerade", inNat("postrouting", 100, { kind: "masquerade" })],
  ];
}

function lookup(
  name: string,
  key: Extract<Statement, { kind: "in-set" }>["key"][number],
): Statement {
  return { kind: "in-set", key: [key], set: name };
}

function chainWith(
  type: "nat" | "filter" | "route",
  hook: Hook,
  priority: number,
  rule: Rule,
): Change[] {
  const name = "probe";
  const chain: Change = { kind: "add-chain", chain: { name, base: { type, hook, priority } } };
  return rule.length === 0 ? [chain] : [chain, { kind: "add-rule", chain: name, rule }];
}

function probe(family: Family, changes: readonly Change[]): Transaction {
  const all: Change[] = [{ kind: "add-table" }, ...changes, { kind: "delete-table" }];
  return { family, table: PROBE_TABLE, changes: all };
}
