// What one series is, and how it prints in documentation.

export interface CounterSeries<L extends string = string> {
  readonly type: "counter";
  readonly name: string;
  readonly labels: readonly L[];
  readonly help: string;
}

export interface GaugeSeries<L extends string = string> {
  readonly type: "gauge";
  readonly name: string;
  readonly labels: readonly L[];
  readonly help: string;
}

export interface HistogramSeries<L extends string = string> {
  readonly type: "histogram";
  readonly name: string;
  readonly labels: readonly L[];
  /** Upper bounds, ascending; seconds unless the name says otherwise. */
  readonly buckets: readonly number[];
  readonly help: string;
}

export type Series = CounterSeries | GaugeSeries | HistogramSeries;

interface Described<L extends string> {
  readonly labels: readonly L[];
  readonly help: string;
}

/** @param name ends in `_total` by Prometheus' rule */
export function counter<const L extends string>(
  name: string,
  { labels, help }: Described<L>,
): CounterSeries<L> {
  return { type: "counter", name, labels, help };
}

export function gauge<const L extends string>(
  name: string,
  { labels, help }: Described<L>,
): GaugeSeries<L> {
  return { type: "gauge", name, labels, help };
}

export function histogram<const L extends string>(
  name: string,
  { labels, buckets, help }: Described<L> & { readonly buckets: readonly number[] },
): HistogramSeries<L> {
  return { type: "histogram", name, labels, buckets, help };
}

/** `count` bounds: start, start × factor, start × factor², … */
export function exponentialBuckets(start: number, factor: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Number((start * factor ** i).toPrecision(12)));
}

/** `count` bounds: start, start + step, … */
export function linearBuckets(start: number, step: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => start + step * i);
}

/** A Markdown table of series, in the order given. */
export function formatSeriesTable(all: readonly Series[]): string {
  const head = ["Series", "Type", "Labels", "Meaning"];
  const rows = all.map((series) => [
    `\`${series.name}\``,
    series.type,
    series.labels.map((label) => `\`${label}\``).join(", "),
    series.help + (series.type === "histogram" ? ` Buckets: ${bounds(series.buckets)}.` : ""),
  ]);
  return [head, head.map(() => "---"), ...rows]
    .map((row) => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`)
    .join("");
}

function bounds(buckets: readonly number[]): string {
  const [first, second] = buckets;
  if (buckets.length <= 4) return buckets.join(", ");
  return `${first}, ${second}, … ${buckets.at(-1)} (${buckets.length})`;
}
