// What is said of the measurements of tunnels: rows, what each adds to the kernel's lane, and
// whether our budgets are kept. Pure.

import assert from "node:assert/strict";
import type { BenchBudget, BenchRow } from "../scripts/bench-report.ts";
import { atMost } from "./programming-report.ts";
import { median } from "./statistics.ts";
import type { TunnelCost, TunnelMeasurement } from "./tunnel-measure.ts";
import { type Side, SIDES } from "./tunnel-subject.ts";

type Cell = readonly [metric: string, unit: string, value: number];

/** Medians of the rounds. */
export function tunnelRows(measurements: readonly TunnelMeasurement[]): BenchRow[] {
  return measurements.flatMap((measurement) => {
    const { what, subject } = measurement;
    const direct = measurements.find((one) => one.what === what && one.subject.key === "none");
    return [
      ...cpuCells(measurement),
      rateCell(measurement),
      ...latencyCells(measurement, direct),
      ...memoryCells(measurement),
    ].map(([metric, unit, value]) => {
      return { case: what.title, subject: subject.subject, metric, unit, value };
    });
  });
}

/** Each round is its own comparison, so that what a whole round suffers cancels out. */
export function judgeTunnels(measurements: readonly TunnelMeasurement[]): BenchBudget[] {
  return measurements
    .filter(({ subject }) => subject.key === "innermesh")
    .flatMap(({ what, costs }) =>
      what.limits.flatMap((limit) => {
        const peer = measurements.find((one) => {
          return one.what === what && one.subject.key === limit.peer;
        });
        assert(peer !== undefined, `${limit.peer} did not run`);
        return SIDES.map((side) => {
          const ratios = costs.map((cost, round) => {
            const theirs = peer.costs[round];
            return theirs === undefined ? Number.NaN : cpuUs(cost, side) / cpuUs(theirs, side);
          });
          const name = `${what.title}: CPU of the ${side}'s node, innermesh / ${limit.peer}`;
          return atMost(name, limit.atMost, median(ratios));
        });
      }),
    );
}

function cpuCells({ what, subject, costs }: TunnelMeasurement): Cell[] {
  if (subject.pids === undefined) return [];
  const [unit, scale] = what.unit === "GB" ? ["ms", 0.001] : ["µs", 1];
  return SIDES.map((side) => {
    const cpu = median(costs.map((cost) => scale * cpuUs(cost, side)));
    return [`CPU for one ${what.unit}, ${side}'s node`, unit, cpu];
  });
}

function rateCell({ what, costs }: TunnelMeasurement): Cell {
  const rate = median(costs.map(({ units, seconds }) => units / seconds));
  return what.unit === "GB" ? ["volume", "GB/s", rate] : [`${what.unit}s`, "/s", rate];
}

/** What a tunnel adds can be told where nothing queues: with one request under way. */
function latencyCells(
  { what, subject, costs }: TunnelMeasurement,
  direct: TunnelMeasurement | undefined,
): Cell[] {
  const isAlone = what.plan.kind === "wrk" && what.plan.connections === 1;
  return (["p50Us", "p99Us"] as const).flatMap((key): Cell[] => {
    const name = key.slice(0, 3);
    const of = ({ costs: all }: TunnelMeasurement): number[] =>
      all.flatMap(({ latency }) => (latency === undefined ? [] : [latency[key]]));
    const own = of({ what, subject, costs });
    if (own.length === 0) return [];
    const row: Cell = [`latency, ${name}`, "µs", median(own)];
    if (!isAlone || direct === undefined || subject.pids === undefined) return [row];
    return [row, [`latency added, ${name}`, "µs", median(own) - median(of(direct))]];
  });
}

function memoryCells({ what, subject, costs }: TunnelMeasurement): Cell[] {
  if (subject.pids === undefined) return [];
  return SIDES.flatMap((side): Cell[] => {
    const rss = Math.max(...costs.map(({ rssMiB }) => rssMiB[side]));
    const row: Cell = [`memory, RSS, ${side}'s node`, "MiB", rss];
    if (what.unit !== "session") return [row];
    const added = Math.max(...costs.map(({ addedMiB }) => addedMiB[side]));
    return [row, [`memory that 1,000 sessions added, ${side}'s node`, "MiB", added]];
  });
}

function cpuUs({ cpuMs, units }: TunnelCost, side: Side): number {
  return (1_000 * cpuMs[side]) / units;
}
