// What `programming` tells: its metrics, how they grow, and what they must keep. Pure.

import assert from "node:assert/strict";
import type { BenchBudget, BenchRow } from "../scripts/bench-report.ts";

export const METRICS = [
  { metric: "cold start", unit: "ms" },
  { metric: "cold start, in the kernel", unit: "ms" },
  { metric: "cold start, CPU", unit: "ms" },
  { metric: "cold start, sent to the kernel", unit: "kB" },
  { metric: "one endpoint, p50", unit: "ms" },
  { metric: "one endpoint, p99", unit: "ms" },
  { metric: "one endpoint, CPU", unit: "ms" },
  { metric: "one endpoint, sent to the kernel", unit: "kB" },
  { metric: "memory at rest, RSS", unit: "MiB" },
  { metric: "memory at rest, PSS", unit: "MiB" },
  { metric: "memory at most, RSS with children", unit: "MiB" },
] as const;

type Metric = (typeof METRICS)[number]["metric"];

const OURS = "innermesh";

export function sizeCase(services: number): string {
  return `${services.toLocaleString("en-US")} Services × 10`;
}

/** How often the value at the smallest size goes into that at the greatest. */
export function growthOf(
  rows: readonly BenchRow[],
  sizes: { readonly smallest: number; readonly greatest: number },
): BenchRow[] {
  const { smallest, greatest } = sizes;
  const times = (greatest / smallest).toLocaleString("en-US");
  const what = `growth with ${times} times the Services`;
  return rows
    .filter((row) => row.case === sizeCase(greatest))
    .map(({ subject, metric, value }) => {
      const small = rows.find(
        (row) =>
          row.case === sizeCase(smallest) && row.subject === subject && row.metric === metric,
      );
      assert(small !== undefined);
      return { case: what, subject, metric, unit: "times", value: value / small.value };
    });
}

/** @param size the number of Services that budgets are about */
export function judgeProgramming(
  rows: readonly BenchRow[],
  size: number,
  peer: string,
): BenchBudget[] {
  const valueOf = (subject: string, metric: Metric): number => {
    const row = rows.find(
      (one) => one.case === sizeCase(size) && one.subject === subject && one.metric === metric,
    );
    assert(row !== undefined, `no ${metric} of ${subject}`);
    return row.value;
  };
  const ours = (metric: Metric): number => valueOf(OURS, metric);
  const ratio = (metric: Metric): number => valueOf(peer, metric) / ours(metric);
  return [
    atMost("cold start, ms", 3_000, ours("cold start")),
    atMost("cold start, in the kernel, ms", 1_000, ours("cold start, in the kernel")),
    atLeast("cold start, kube-proxy / innermesh", 6, ratio("cold start")),
    atLeast("the same, in the kernel", 15, ratio("cold start, in the kernel")),
    atMost("one endpoint, p99, ms", 100, ours("one endpoint, p99")),
    atLeast("one endpoint, p50, kube-proxy / innermesh", 50, ratio("one endpoint, p50")),
    atMost(
      "memory at rest, RSS, MiB: kube-proxy's",
      valueOf(peer, "memory at rest, RSS"),
      ours("memory at rest, RSS"),
    ),
  ].map((budget) => ({ ...budget, name: `${sizeCase(size)}: ${budget.name}` }));
}

/** A budget that the value must not exceed. */
export function atMost(name: string, limit: number, value: number): BenchBudget {
  return { name: `${name}, at most`, limit, value, ok: value <= limit };
}

/** A budget that the value must reach. */
export function atLeast(name: string, limit: number, value: number): BenchBudget {
  return { name: `${name}, at least`, limit, value, ok: value >= limit };
}
