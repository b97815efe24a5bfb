// What the policy suite measured, as rows and budgets. Pure.

import type { BenchBudget, BenchRow } from "../scripts/bench-report.ts";
import type { PolicyFlowCost } from "./policy-flow-stage.ts";
import { atMost } from "./programming-report.ts";
import { median } from "./statistics.ts";

/** Of one kind of change, from the store to the kernel's answer. */
export interface ChangeTimes {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Medians: in the kernel, and on all processors. */
  readonly kernelMs: number;
  readonly cpuMs: number;
  readonly cpuP99Ms: number;
}

/** In the IPv4 table. */
export interface PolicyCounts {
  readonly chains: number;
  /** Distinct ones that hold for this node's pods. */
  readonly sets: number;
  readonly rules: number;
  readonly elements: number;
}

/** What `policy-program.ts` prints. */
export interface PolicyTimes {
  readonly coldMs: number;
  readonly coldKernelMs: number;
  readonly coldCpuMs: number;
  readonly memoryMiB: number;
  readonly counts: PolicyCounts;
  readonly label: ChangeTimes;
  readonly move: ChangeTimes;
  readonly policy: ChangeTimes;
  readonly elsewhere: ChangeTimes;
  readonly unpolicy: ChangeTimes;
  readonly namespace: ChangeTimes;
  readonly guarded: ChangeTimes;
}

/** Nanoseconds of processor time a verdict, by what is asked. */
export type JudgeCosts = Readonly<Record<string, number>>;

export interface PolicySize {
  readonly pods: number;
  readonly policies: number;
}

const SUBJECT = "innermesh";
/** Of processor time, which is a machine's own whatever else it does. */
const COLD_LIMIT_MS = 2_000;
/** Twice the pods may take so much longer: no cost for each pod and policy. */
const GROWTH_LIMIT = 2.5;
const P50_LIMIT_MS = 15;
const P99_LIMIT_MS = 50;
/** Some of them make chains of their own in the kernel. */
const POLICY_LIMIT_MS = 40;
const ELSEWHERE_LIMIT_MS = 20;
const GUARDED_LIMIT_MS = 40;
/** A change costs what it touches: twice the pods are twice as many in its groups, and no more. */
const CHANGE_GROWTH_LIMIT = 2;
const MEMORY_LIMIT_MIB = 80;
/** A chain of its own for each part of a set that is entered from more than one place. */
const CHAINS_FOR_SET = 4;
const VERDICT_LIMIT_NS = 1_000;
/** Two look-ups by address, and the rules of one set. */
const NEW_FLOW_LIMIT_NS = 1_000;
const KNOWN_PACKET_LIMIT_NS = 100;

const CHANGES = {
  label: "one pod's label",
  move: "a local pod under other policies",
  policy: "one new policy",
  elsewhere: "one new policy about pods elsewhere",
  unpolicy: "one policy less",
  namespace: "one namespace's label",
  guarded: "one pod's label, 2,000 guarded Services",
} as const satisfies Partial<Record<keyof PolicyTimes, string>>;

function caseOf({ pods, policies }: PolicySize): string {
  return `${pods.toLocaleString("en-US")} pods × ${policies} policies`;
}

/** Rows of one size. */
export function programRows(size: PolicySize, times: PolicyTimes): readonly BenchRow[] {
  const row = (metric: string, unit: string, value: number): BenchRow => {
    return { case: caseOf(size), subject: SUBJECT, metric, unit, value };
  };
  const { counts } = times;
  const kinds = Object.keys(CHANGES) as (keyof typeof CHANGES)[];
  return [
    row("cold start", "ms", times.coldMs),
    row("cold start, in the kernel", "ms", times.coldKernelMs),
    row("cold start, CPU", "ms", times.coldCpuMs),
    ...kinds.flatMap((kind) => {
      const { p50Ms, p99Ms, kernelMs, cpuMs, cpuP99Ms } = times[kind];
      const what = CHANGES[kind];
      return [
        row(`${what}, p50`, "ms", p50Ms),
        row(`${what}, p99`, "ms", p99Ms),
        row(`${what}, in the kernel`, "ms", kernelMs),
        row(`${what}, CPU`, "ms", cpuMs),
        row(`${what}, CPU, p99`, "ms", cpuP99Ms),
      ];
    }),
    row("memory of index and plan", "MiB", times.memoryMiB),
    row("distinct sets of this node", "", counts.sets),
    row("chains of sets, IPv4", "", counts.chains),
    row("rules, IPv4", "", counts.rules),
    row("elements, IPv4", "", counts.elements),
  ];
}

/** @param kept by size, the biggest last, and half of it before */
export function programBudgets(
  kept: readonly (readonly [PolicySize, PolicyTimes])[],
): readonly BenchBudget[] {
  const [half, whole] = kept.slice(-2);
  if (half === undefined || whole === undefined) return [];
  const [size, times] = whole;
  const { counts } = times;
  const growth = times.coldCpuMs / half[1].coldCpuMs;
  const policyGrowth = times.policy.cpuMs / half[1].policy.cpuMs;
  const budgets = [
    atMost("cold start, CPU, ms", COLD_LIMIT_MS, times.coldCpuMs),
    atMost("cold start, CPU against half the pods", GROWTH_LIMIT, growth),
    atMost(`${CHANGES.label}, CPU, p50, ms`, P50_LIMIT_MS, times.label.cpuMs),
    atMost(`${CHANGES.label}, CPU, p99, ms`, P99_LIMIT_MS, times.label.cpuP99Ms),
    atMost(`${CHANGES.policy}, CPU against half the pods`, CHANGE_GROWTH_LIMIT, policyGrowth),
    atMost(`${CHANGES.guarded}, CPU, ms`, GUARDED_LIMIT_MS, times.guarded.cpuMs),
    atMost("memory of index and plan, MiB", MEMORY_LIMIT_MIB, times.memoryMiB),
    atMost("chains of a distinct set", CHAINS_FOR_SET, counts.chains / counts.sets),
    atMost("rules against half the pods", 1.1, counts.rules / half[1].counts.rules),
  ];
  return [...policyBudgets(half), ...policyBudgets(whole), ...budgets.map(about(size))];
}

function policyBudgets([size, times]: readonly [PolicySize, PolicyTimes]): readonly BenchBudget[] {
  return [
    atMost(`${CHANGES.policy}, CPU, ms`, POLICY_LIMIT_MS, times.policy.cpuMs),
    atMost(`${CHANGES.elsewhere}, CPU, ms`, ELSEWHERE_LIMIT_MS, times.elsewhere.cpuMs),
  ].map(about(size));
}

function about(size: PolicySize): (budget: BenchBudget) => BenchBudget {
  return (budget) => ({ ...budget, name: `${caseOf(size)}: ${budget.name}` });
}

/** @param peerUs of cyclonus, both directions */
export function judgeRows(
  costs: JudgeCosts,
  peerSize: PolicySize,
  peerUs: number,
): readonly BenchRow[] {
  const metric = "verdict, CPU";
  return [
    ...Object.entries(costs).map(([what, value]) => {
      return { case: what, subject: SUBJECT, metric, unit: "ns", value };
    }),
    {
      case: `${caseOf(peerSize)}, both directions`,
      subject: "cyclonus",
      metric: "verdict",
      unit: "ns",
      value: 1_000 * peerUs,
    },
  ];
}

export function judgeBudgets(costs: JudgeCosts): readonly BenchBudget[] {
  const value = median(Object.values(costs));
  return [atMost("verdict, median of kinds, ns", VERDICT_LIMIT_NS, value)];
}

type FlowCosts = ReadonlyMap<string, readonly PolicyFlowCost[]>;

export function flowRows(flows: FlowCosts): readonly BenchRow[] {
  return [...flows].flatMap(([subject, costs]) => {
    const row = (metric: string, value: number): BenchRow => {
      return { case: "flows from pod to pod", subject, metric, unit: "ns", value };
    };
    return [
      row("UDP, new flow, CPU", median(costs.map(({ newNs }) => newNs))),
      row("UDP, packet of a known flow, CPU", median(costs.map((cost) => cost.answeredNs))),
    ];
  });
}

/** Each round is its own comparison, so that what a whole round suffers cancels out. */
export function flowBudgets(flows: FlowCosts): readonly BenchBudget[] {
  const [, free = [], few = []] = [...flows.values()];
  const difference = (of: (cost: PolicyFlowCost) => number): number =>
    median(few.map((cost, i) => of(cost) - of(free[i] ?? cost)));
  const price = difference(({ newNs }) => newNs);
  const known = difference(({ answeredNs }) => answeredNs);
  return [
    atMost("new flow to an isolated pod, ns more", NEW_FLOW_LIMIT_NS, price),
    atMost("packet of a known flow to it, ns more", KNOWN_PACKET_LIMIT_NS, known),
  ];
}
