// Series whose values are kept elsewhere, in arrays of a data path, and read when Prometheus asks.
// The library prints them; what it would keep itself is left out.

import { Counter, Gauge, Histogram, type Registry } from "@prometheus-io/client";
import type { CounterSeries, GaugeSeries, HistogramSeries } from "./series.ts";

export interface Sample<L extends string> {
  readonly labels: Readonly<Record<L, string>>;
  readonly value: number;
}

export interface HistogramSample<L extends string> {
  readonly labels: Readonly<Record<L, string>>;
  /** Values at or below each bound of the series, in its order. */
  readonly cumulative: readonly number[];
  readonly count: number;
  readonly sum: number;
}

/** @param read called at every scrape, which waits for it; each label set once */
export function collectCounter<L extends string>(
  registry: Registry,
  { name, help, labels: labelNames }: CounterSeries<L>,
  read: () => readonly Sample<L>[] | Promise<readonly Sample<L>[]>,
): void {
  const registers = [registry];
  new Counter<string>({
    name,
    help,
    labelNames,
    registers,
    async collect() {
      const samples = await read();
      this.reset();
      for (const { labels, value } of samples) this.inc(labels, value);
    },
  });
}

/** @param read called at every scrape; each label set once */
export function collectGauge<L extends string>(
  registry: Registry,
  { name, help, labels: labelNames }: GaugeSeries<L>,
  read: () => readonly Sample<L>[],
): void {
  const registers = [registry];
  new Gauge<string>({
    name,
    help,
    labelNames,
    registers,
    collect() {
      this.reset();
      for (const { labels, value } of read()) this.set(labels, value);
    },
  });
}

/** @param read called at every scrape; each label set once */
export function collectHistogram<L extends string>(
  registry: Registry,
  series: HistogramSeries<L>,
  read: () => readonly HistogramSample<L>[],
): void {
  const { name, help, labels: labelNames } = series;
  const buckets = [...series.buckets];
  const registers = [registry];
  const histogram = new Histogram<string>({ name, help, labelNames, buckets, registers });
  // The library's histogram takes single observations only, so its reading end is replaced: both
  // the public method, and the private one that the registry tries first.
  Object.assign(histogram, {
    getForPromString: undefined,
    get: () => {
      const values = read().flatMap((sample) => histogramLines(series, sample));
      return Promise.resolve({ name, help, type: "histogram", aggregator: "sum", values });
    },
  });
}

function histogramLines<L extends string>(
  { name, buckets }: HistogramSeries<L>,
  { labels, cumulative, count, sum }: HistogramSample<L>,
): readonly object[] {
  const bucketLine = (le: number | string, value: number): object => ({
    metricName: `${name}_bucket`,
    labels: { le, ...labels },
    value,
  });
  return [
    ...buckets.map((bound, i) => bucketLine(bound, cumulative[i] ?? 0)),
    bucketLine("+Inf", count),
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
