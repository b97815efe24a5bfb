// `make bench [SUITE=name]`: runs suites one after another, prints tables, keeps the numbers in
// bench/results, and fails when a budget is missed. With --write-docs, the kept results become
// docs/benchmarks.md and the baseline of later runs.

import { execFile } from "node:child_process";
import { globSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { cpus, loadavg, release, totalmem } from "node:os";
import { basename, join } from "node:path";
import { parseArgs, promisify } from "node:util";
import {
  type Baseline,
  type BenchMachine,
  type BenchRecord,
  type BenchRow,
  type BenchSuite,
  formatBudgets,
  formatDocument,
  formatMachine,
  formatRows,
} from "./bench-report.ts";
import { goDirectory } from "./go.ts";
import { ROOT } from "./steps.ts";

const run = promisify(execFile);
const FOLDER = join(ROOT, "bench");
const RESULTS = join(FOLDER, "results");
const BASELINE = join(FOLDER, "baseline.json");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { "write-docs": { type: "boolean", default: false } },
});

/** Loads only what is asked for: a suite is named like its file. */
async function loadSuites(names: readonly string[]): Promise<readonly BenchSuite[]> {
  const known = globSync("*.bench.ts", { cwd: FOLDER }).map((file) => basename(file, ".bench.ts"));
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new Error(`Cannot find suite "${unknown.join(", ")}": there are ${known.join(", ")}`);
  }
  const suites: BenchSuite[] = [];
  for (const name of names.length === 0 ? known.sort() : names) {
    const suite = (await import(join(FOLDER, `${name}.bench.ts`))) as Partial<BenchSuite>;
    if (suite.name !== name || suite.run === undefined) {
      throw new Error(`Cannot run suite "${name}": its file must export name and run`);
    }
    suites.push({ name, run: suite.run });
  }
  return suites;
}

/** @returns whether all budgets are kept */
async function runSuite(
  suite: BenchSuite,
  machine: BenchMachine,
  { baseline, signal }: { readonly baseline: Baseline; readonly signal: AbortSignal },
): Promise<boolean> {
  print(`\n# ${suite.name}`);
  const [load = 0] = loadavg();
  const result = await suite.run({ print, signal });
  const { rows, budgets } = result;
  print(formatRows(rows, baseline.get(suite.name) ?? []));
  if (budgets.length > 0) print(formatBudgets(budgets));
  await mkdir(RESULTS, { recursive: true });
  const record: BenchRecord = { suite: suite.name, machine: { ...machine, load }, ...result };
  await writeFile(join(RESULTS, `${suite.name}.json`), `${JSON.stringify(record, null, 2)}\n`);
  return budgets.every(({ ok }) => ok);
}

async function describeMachine(): Promise<BenchMachine> {
  const [first] = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: first?.model ?? process.arch,
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    load: loadavg()[0] ?? 0,
    versions: { node: process.version, nft: await versionOf("nft"), go: await versionOf("go") },
  };
}

async function versionOf(program: "nft" | "go"): Promise<string> {
  const { stdout } = await run(program, [program === "go" ? "version" : "--version"]);
  return /(\d+\.\d+[\w.]*)/.exec(stdout)?.[1] ?? stdout.trim();
}

async function readBaseline(): Promise<Baseline> {
  const text = await readFile(BASELINE, "utf8").catch(() => "{}");
  return new Map(Object.entries(JSON.parse(text) as Record<string, readonly BenchRow[]>));
}

async function writeDocuments(): Promise<void> {
  const records: BenchRecord[] = [];
  for (const file of globSync("*.json", { cwd: RESULTS }).sort()) {
    records.push(JSON.parse(await readFile(join(RESULTS, file), "utf8")) as BenchRecord);
  }
  await writeFile(join(ROOT, "docs/benchmarks.md"), formatDocument(records));
  const rows = Object.fromEntries(records.map((record) => [record.suite, record.rows]));
  await writeFile(BASELINE, `${JSON.stringify(rows, null, 2)}\n`);
}

async function main(): Promise<boolean> {
  const newer = await goDirectory();
  if (newer !== undefined) process.env["PATH"] = `${newer}:${process.env["PATH"]}`;
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  const suites = await loadSuites(positionals);
  const machine = await describeMachine();
  const baseline = await readBaseline();
  print(formatMachine(machine));
  let kept = true;
  for (const suite of suites) {
    stop.signal.throwIfAborted();
    kept = (await runSuite(suite, machine, { baseline, signal: stop.signal })) && kept;
  }
  if (values["write-docs"]) await writeDocuments();
  print(kept ? "\nbench: every budget is kept" : "\nbench: a budget is missed");
  return kept;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
}
