// What is said of the measurements of a proxy bench: rows, what each adds to the direct way, and
// whether our budgets are kept. Pure.

import assert from "node:assert/strict";
import type { BenchBudget, BenchRow } from "../scripts/bench-report.ts";
import { atMost } from "./programming-report.ts";
import type { Load } from "./proxy-load.ts";
import type { ProxyCost, ProxyMeasurement } from "./proxy-measure.ts";
import { median } from "./statistics.ts";

const PERCENTILES = [
  ["p50", ({ p50Us }: Load): number => p50Us],
  ["p99", ({ p99Us }: Load): number => p99Us],
  ["p99.9", ({ p999Us }: Load): number => p999Us],
] as const;
/** From so many connections on, a proxy's memory says what one costs. */
const MANY_CONNECTIONS = 1_000;

/** Medians of the rounds. */
export function proxyRows(measurements: readonly ProxyMeasurement[]): BenchRow[] {
  return measurements.flatMap((measurement) => {
    const { what, subject } = measurement;
    const isDirect = subject.pid === undefined;
    const direct = measurements.find((one) => one.what === what && one.subject.key === "none");
    assert(direct !== undefined);
    return [
      ...(isDirect ? [] : cpuRows(measurement)),
      rateRow(measurement),
      ...(what.unit === "GB" ? [] : latencyRows(measurement, direct)),
      ...(isDirect ? [] : memoryRows(measurement)),
    ].map(([metric, unit, value]) => {
      return { case: what.title, subject: subject.subject, metric, unit, value };
    });
  });
}

/** Each round is its own comparison, so that what a whole round suffers cancels out. */
export function judgeProxy(measurements: readonly ProxyMeasurement[]): BenchBudget[] {
  return measurements
    .filter(({ subject }) => subject.key.startsWith("innermesh"))
    .flatMap(({ what, subject, costs }) =>
      what.limits.map((limit) => {
        const peer = measurements.find((one) => {
          return one.what === what && one.subject.key === limit.peer;
        });
        assert(peer !== undefined, `${limit.peer} did not run`);
        const ratios = costs.map((cost, round) => {
          const theirs = peer.costs[round];
          return theirs === undefined ? Number.NaN : cpuUs(cost) / cpuUs(theirs);
        });
        const name = `${what.title}: CPU, ${subject.key} / ${limit.peer}`;
        return atMost(name, limit.atMost, median(ratios));
      }),
    );
}

type Cell = readonly [metric: string, unit: string, value: number];

function cpuRows({ what, costs }: ProxyMeasurement): Cell[] {
  const isVolume = what.unit === "GB";
  const [unit, scale] = isVolume ? ["ms", 0.001] : ["µs", 1];
  const name = `CPU for one ${what.unit}`;
  const parent = costs.map((cost) => (scale * 1_000 * cost.parentCpuMs) / cost.units);
  const rows: Cell[] = [[name, unit, median(costs.map((cost) => scale * cpuUs(cost)))]];
  if (costs.some(({ children }) => children > 0)) {
    rows.push([`${name}, of that the agent`, unit, median(parent)]);
  }
  return rows;
}

function rateRow({ what, costs }: ProxyMeasurement): Cell {
  const rate = median(costs.map(({ units, load }) => units / load.seconds));
  return what.unit === "GB" ? ["volume", "GB/s", rate] : [`${what.unit}s`, "/s", rate];
}

/** What a proxy adds can be told where nothing queues: with one request under way. */
function latencyRows({ what, costs, subject }: ProxyMeasurement, direct: ProxyMeasurement): Cell[] {
  const isAlone = subject.key !== "none" && what.plan.connections === 1;
  return PERCENTILES.flatMap(([name, read]): Cell[] => {
    const own = median(costs.map(({ load }) => read(load)));
    const added = own - median(direct.costs.map(({ load }) => read(load)));
    const row: Cell = [`latency, ${name}`, "µs", own];
    return isAlone ? [row, [`latency added, ${name}`, "µs", added]] : [row];
  });
}

function memoryRows({ what, costs }: ProxyMeasurement): Cell[] {
  const rssMiB = Math.max(...costs.map((cost) => cost.rssMiB));
  const rows: Cell[] = [["memory, RSS", "MiB", rssMiB]];
  const connections = what.plan.connections;
  if (connections >= MANY_CONNECTIONS) {
    const added = rssMiB - (costs[0]?.rssBeforeMiB ?? Number.NaN);
    rows.push(["memory, RSS, for 1,000 connections more", "MiB", (1_000 * added) / connections]);
  }
  return rows;
}

function cpuUs({ cpuMs, units }: ProxyCost): number {
  return (1_000 * cpuMs) / units;
}
