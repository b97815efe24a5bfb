// `make conformance [SUITE=name]`: builds what upstream's suites need, starts a cluster of real
// nodes, runs the suites against Innermesh on it, and keeps what they say in build/conformance.
// When that has all suites, they become docs/conformance.md. Needs root and Go.
//   NAME...      these suites alone: netpol, cnp, gateway-api
//   --test TEXT  tests with this in their name alone; keeps nothing. Needs one suite
//   --identity   gives pods identities, so that tunnels carry their TCP; keeps nothing
//   --keep       leaves the cluster running until Ctrl-C

import { readFile, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { exitCodeOf } from "../conformance/case-result.ts";
import { formatReport, formatRow } from "../conformance/report.ts";
import { VERSION } from "../roles/version.ts";
import { ensureBinaries, pinnedVersion } from "../test/cluster/binaries.ts";
import { type RealCluster, startRealCluster } from "./conformance-cluster.ts";
import { type ConformanceRecord, formatConformance } from "./conformance-document.ts";
import { writeImages } from "./conformance-images.ts";
import { isSuiteName, SUITE_NAMES, SUITES, type SuiteName } from "./conformance-suites.ts";
import { goDirectory } from "./go.ts";
import { ROOT } from "./steps.ts";

const DIRECTORY = join(ROOT, "build/conformance");

interface Wish {
  readonly suites: readonly SuiteName[];
  readonly onlyTest?: string;
  readonly identity: boolean;
  readonly keep: boolean;
}

/** @throws Error when the command line is wrong */
function parseWish(): Wish {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      test: { type: "string" },
      identity: { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
    },
  });
  const unknown = positionals.filter((name) => !isSuiteName(name));
  if (unknown.length > 0) {
    const known = SUITE_NAMES.join(", ");
    throw new Error(`Cannot find suite "${unknown.join(", ")}": there are ${known}`);
  }
  const chosen = positionals.filter(isSuiteName);
  const suites = chosen.length === 0 ? SUITE_NAMES : chosen;
  const { test, ...rest } = values;
  if (test === undefined) return { suites, ...rest };
  if (suites.length !== 1) throw new Error("Cannot find the test: name one suite, too");
  return { suites, ...rest, onlyTest: test };
}

async function main(signal: AbortSignal): Promise<boolean> {
  const wish = parseWish();
  const startMs = performance.now();
  const newer = await goDirectory();
  if (newer !== undefined) process.env["PATH"] = `${newer}:${process.env["PATH"]}`;
  await ensureBinaries(wish.suites.map((name) => SUITES[name].program));
  const ofSuites = wish.suites.flatMap((name) => SUITES[name].images);
  const names = new Set(["pause", "coredns", ...ofSuites] as const);
  const images = await writeImages([...names], join(DIRECTORY, "images"));
  const { identity } = wish;
  await using cluster = await startRealCluster({
    images,
    logDirectory: DIRECTORY,
    identity,
    print,
  });
  let good = true;
  for (const name of wish.suites) {
    signal.throwIfAborted();
    good = (await runSuite(name, { cluster, wish, signal })) && good;
  }
  if (isKept(wish)) await writeDocument();
  print(`raw output and reports: ${DIRECTORY}`);
  print(`all in all: ${Math.round((performance.now() - startMs) / 1000)}s`);
  if (wish.keep) await hold(cluster, signal);
  return good;
}

/** The page is about whole suites, on a cluster as most people have it. */
function isKept({ onlyTest, identity }: Wish): boolean {
  return onlyTest === undefined && !identity;
}

interface Run {
  readonly cluster: RealCluster;
  readonly wish: Wish;
  readonly signal: AbortSignal;
}

/** @returns whether all went well */
async function runSuite(suite: SuiteName, { cluster, wish, signal }: Run): Promise<boolean> {
  const { onlyTest } = wish;
  const { title, program } = SUITES[suite];
  print(`running ${title}`);
  const ran = await SUITES[suite].run({
    program: (await ensureBinaries([program]))[program],
    kubeconfigFile: await cluster.controlPlane.kubeconfig("admin"),
    directory: DIRECTORY,
    version: VERSION,
    nodes: cluster.playground.nodes.map(({ name }) => name),
    signal,
    ...(onlyTest === undefined ? {} : { onlyTest }),
  });
  const { result } = ran;
  await writeFile(join(DIRECTORY, `${suite}-junit.xml`), formatReport("junit", result));
  for (const row of result.cases.filter(({ outcome }) => outcome.kind !== "skipped")) {
    print(formatRow({ ...row, name: "" }).trimEnd());
  }
  print(formatReport("table", result).trimEnd());
  const problems = await cluster.innermesh.problems();
  for (const problem of problems) print(problem);
  if (isKept(wish)) {
    const record: ConformanceRecord = {
      ...ran,
      version: await pinnedVersion(program),
      kubernetes: await pinnedVersion("kubelet"),
      kernel: release(),
    };
    await writeFile(recordFile(suite), `${JSON.stringify(record, null, 2)}\n`);
  }
  return problems.length === 0 && exitCodeOf(result.cases) === 0;
}

/** Nothing happens while a suite has never been run. */
async function writeDocument(): Promise<void> {
  const netpol = await readRecord("netpol");
  const cnp = await readRecord("cnp");
  const gatewayApi = await readRecord("gateway-api");
  if (netpol === undefined || cnp === undefined || gatewayApi === undefined) return;
  const text = formatConformance({ netpol, cnp, gatewayApi });
  await writeFile(join(ROOT, "docs/conformance.md"), text);
}

async function readRecord(suite: SuiteName): Promise<ConformanceRecord | undefined> {
  const text = await readFile(recordFile(suite), "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as ConformanceRecord);
}

function recordFile(suite: SuiteName): string {
  return join(DIRECTORY, `${suite}.json`);
}

async function hold({ controlPlane }: RealCluster, signal: AbortSignal): Promise<void> {
  print(`the cluster stays until Ctrl-C: KUBECONFIG=${await controlPlane.kubeconfig("admin")}`);
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => resolve());
  // An event alone does not keep the process alive.
  const alive = setInterval(() => {}, 60_000);
  await promise;
  clearInterval(alive);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stop.abort());
try {
  process.exitCode = (await main(stop.signal)) ? 0 : 1;
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
}
