// What a bench suite is, what it yields, and how that is shown: a contract for bench/*.bench.ts
// and for whoever reads bench/results/*.json. Pure.

/** One measured number. */
export interface BenchRow {
  /** What was done, with its size: `cold, 10,000 Services × 10`. */
  readonly case: string;
  /** Who did it: `innermesh`, `kube-proxy 1.36.3`. */
  readonly subject: string;
  readonly metric: string;
  readonly unit: string;
  readonly value: number;
}

/** A promise of ours about the rows of the same run. */
export interface BenchBudget {
  readonly name: string;
  readonly limit: number;
  readonly value: number;
  readonly ok: boolean;
}

export interface BenchResult {
  readonly rows: readonly BenchRow[];
  readonly budgets: readonly BenchBudget[];
  /** What a reader must know to trust the rows: how they came about, one paragraph each. */
  readonly notes?: readonly string[];
}

export interface BenchContext {
  /** Shows progress. */
  readonly print: (line: string) => void;
  /** Aborts on SIGINT and SIGTERM; a suite then removes what it made. */
  readonly signal: AbortSignal;
}

/** What a suite's file exports. */
export interface BenchSuite {
  /** Also the name of its result file. */
  readonly name: string;
  /** Throws when a peer cannot be had: a comparison without its peer is no result. */
  readonly run: (context: BenchContext) => Promise<BenchResult>;
}

/** Where and when numbers were measured; absolute ones mean nothing without. */
export interface BenchMachine {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  /** Processes that wanted to run, on average of the minute before: what else was going on. */
  readonly load: number;
  /** By program. */
  readonly versions: Readonly<Record<string, string>>;
}

/** The content of bench/results/<suite>.json. */
export interface BenchRecord extends BenchResult {
  readonly suite: string;
  readonly machine: BenchMachine;
}

/** A suite's rows of an earlier run, to tell what moved. */
export type Baseline = ReadonlyMap<string, readonly BenchRow[]>;

/** One sentence. */
export function formatMachine(machine: BenchMachine): string {
  const { cpu, cores, memoryGib, kernel, load, date } = machine;
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  const size = `${cores} cores of ${cpu}, ${memoryGib} GiB`;
  const software = `Linux ${kernel}, ${versions.join(", ")}`;
  return `${date}: ${size}, ${software}; load ${formatNumber(load)} before`;
}

/** The rows as a Markdown table, which is also readable on a terminal. */
export function formatRows(rows: readonly BenchRow[], before: readonly BenchRow[]): string {
  const known = new Map(before.map((row) => [identity(row), row.value]));
  const lines = rows.map((row) => {
    const { case: what, subject, metric, unit, value } = row;
    const change = formatChange(known.get(identity(row)), value);
    return [what, subject, metric, `${formatNumber(value)} ${unit}`, change];
  });
  return formatTable(["case", "subject", "metric", "value", "before"], lines);
}

export function formatBudgets(budgets: readonly BenchBudget[]): string {
  const lines = budgets.map(({ name, limit, value, ok }) => [
    name,
    formatNumber(limit),
    formatNumber(value),
    ok ? "kept" : "MISSED",
  ]);
  return formatTable(["budget", "limit", "measured", ""], lines);
}

/**
 * The rows with one column for each subject, one table for each case. Where two subjects are
 * compared, the last column says how many times the first the second is.
 */
export function formatComparison(rows: readonly BenchRow[]): string {
  const cases = [...new Set(rows.map((row) => row.case))];
  const tables = cases.map((what) => {
    const own = rows.filter((row) => row.case === what);
    const subjects = [...new Set(own.map(({ subject }) => subject))];
    const metrics = [...new Set(own.map(({ metric }) => metric))];
    const lines = metrics.map((metric) => comparisonLine(own, metric, subjects));
    const ratio = subjects.length === 2 ? ["second / first"] : [];
    return `### ${what}\n\n${formatTable(["", ...subjects, ...ratio], lines)}`;
  });
  return tables.join("\n\n");
}

function comparisonLine(
  rows: readonly BenchRow[],
  metric: string,
  subjects: readonly string[],
): string[] {
  const cells = subjects.map((subject) =>
    rows.find((row) => row.metric === metric && row.subject === subject),
  );
  const texts = cells.map((row) =>
    row === undefined ? "" : `${formatNumber(row.value)} ${row.unit}`,
  );
  const [first, second] = cells;
  const isPair = subjects.length === 2 && first !== undefined && second !== undefined;
  const ratio = isPair && first.value !== 0 ? formatNumber(second.value / first.value) : "";
  return [metric, ...texts, ratio];
}

/** The text of docs/benchmarks.md. */
export function formatDocument(records: readonly BenchRecord[]): string {
  const parts = records.map(({ suite, machine, rows, budgets, notes = [] }) =>
    [
      `## ${suite}`,
      ...notes,
      formatMachine(machine),
      ...(budgets.length === 0 ? [] : [formatBudgets(budgets)]),
      formatComparison(rows),
    ].join("\n\n"),
  );
  return `${[DOCUMENT_HEAD, ...parts].join("\n\n")}\n`;
}

const DOCUMENT_HEAD = `# Benchmarks

Written by \`scripts/bench.ts --write-docs\` from the last run of each suite; do not edit. Every
peer ran beside us on the same machine in the same run. Times move with the machine and with what
else it does: compare the columns of one table, not tables of two runs.`;

/** Three digits that count; whole numbers from a hundred on. */
export function formatNumber(value: number): string {
  if (value === 0 || Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

function formatChange(before: number | undefined, value: number): string {
  if (before === undefined || before === 0) return "";
  const percent = Math.round((value / before - 1) * 100);
  return percent === 0 ? "same" : `${percent > 0 ? "+" : "−"}${Math.abs(percent)} %`;
}

function formatTable(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const used = head.map((_, i) => i).filter((i) => lines.some((line) => line[i] !== ""));
  const widths = used.map((i) => Math.max(3, ...[head, ...lines].map((l) => l[i]?.length ?? 0)));
  const format = (line: readonly string[], fill: string): string =>
    `| ${used.map((i, j) => (line[i] ?? "").padEnd(widths[j] ?? 0, fill)).join(" | ")} |`;
  const rule = format([], "-");
  return [format(head, " "), rule, ...lines.map((line) => format(line, " "))].join("\n");
}

function identity({ case: what, subject, metric, unit }: BenchRow): string {
  return [what, subject, metric, unit].join("\n");
}
