// Makes recorders: the typed ends of series. Their labels are checked by the compiler, so that a
// misspelt label is an error and not a new series.

import { Counter, Gauge, Histogram, type Registry } from "@prometheus-io/client";
import type { CounterSeries, GaugeSeries, HistogramSeries } from "./series.ts";

/** The labels argument: all of them, or none at all for a series without. */
export type LabelArguments<L extends string> = [L] extends [never]
  ? []
  : [labels: Readonly<Record<L, string>>];

export interface CounterRecorder<L extends string> {
  /** @param amount not negative */
  add(amount: number, ...labels: LabelArguments<L>): void;
}

export interface GaugeRecorder<L extends string> {
  set(value: number, ...labels: LabelArguments<L>): void;
  /** Forgets every label set, for gauges whose label values come and go. */
  clear(): void;
}

export interface HistogramRecorder<L extends string> {
  /** @param value in the unit of the series' name */
  observe(value: number, ...labels: LabelArguments<L>): void;
}

/** Series without labels stand at 0 from the start. */
export function makeCounter<L extends string>(
  registry: Registry,
  series: CounterSeries<L>,
): CounterRecorder<L> {
  const { name, help, labels: labelNames } = series;
  const counter = new Counter<string>({ name, help, labelNames, registers: [registry] });
  return {
    add: (amount, ...[labels]) => {
      if (labels === undefined) counter.inc(amount);
      else counter.inc(labels, amount);
    },
  };
}

export function makeGauge<L extends string>(
  registry: Registry,
  series: GaugeSeries<L>,
): GaugeRecorder<L> {
  const { name, help, labels: labelNames } = series;
  const gauge = new Gauge<string>({ name, help, labelNames, registers: [registry] });
  return {
    set: (value, ...[labels]) => {
      if (labels === undefined) gauge.set(value);
      else gauge.set(labels, value);
    },
    clear: () => gauge.reset(),
  };
}

export function makeHistogram<L extends string>(
  registry: Registry,
  series: HistogramSeries<L>,
): HistogramRecorder<L> {
  const { name, help, labels: labelNames } = series;
  const buckets = [...series.buckets];
  const registers = [registry];
  const histogram = new Histogram<string>({ name, help, labelNames, buckets, registers });
  return {
    observe: (value, ...[labels]) => {
      if (labels === undefined) histogram.observe(value);
      else histogram.observe(labels, value);
    },
  };
}
