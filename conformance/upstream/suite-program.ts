// A suite that is a program: it runs against a live cluster, and all that it prints is kept.

import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import type { CaseResult, RunResult } from "../case-result.ts";
import { ConformanceError } from "../conformance-error.ts";

/** Who issues the reports of suites, in their flags' words. */
export const IMPLEMENTATION = {
  organization: "innermesh",
  project: "innermesh",
  url: "https://innermesh.io",
  contact: "https://innermesh.io",
} as const;

/** What every suite is told. */
export interface SuiteOptions {
  /** The suite, compiled. */
  readonly program: string;
  /** An administrator's. */
  readonly kubeconfigFile: string;
  /** Made when missing: gets the raw output and the suite's report. */
  readonly directory: string;
  /** Version of the implementation, for the report. */
  readonly version: string;
  /** Tests with this in their name alone; then there is no report. */
  readonly onlyTest?: string;
  readonly nodes: readonly string[];
  readonly signal?: AbortSignal;
}

export interface SuiteRun {
  readonly result: RunResult;
  /** The suite's own report, byte by byte; undefined when it wrote none. */
  readonly report: string | undefined;
}

/**
 * What came of a suite, and when.
 * @param reportName in the directory; of an earlier run nothing is left there
 * @param run runs the programs, which may write the report, and tells the cases
 */
export async function recordRun(
  suite: string,
  { directory, nodes }: SuiteOptions,
  reportName: string,
  run: (reportFile: string) => Promise<readonly CaseResult[]>,
): Promise<SuiteRun> {
  const reportFile = join(directory, reportName);
  await rm(reportFile, { force: true });
  const startedAt = new Date().toISOString();
  const startMs = performance.now();
  const cases = await run(reportFile);
  return {
    result: { suite, startedAt, tookMs: performance.now() - startMs, nodes, cases },
    report: await readFile(reportFile, "utf8").catch(() => undefined),
  };
}

/**
 * Runs a program to its end, whatever its exit code.
 * @param name of its log in the directory, without `.log`
 * @returns all that it printed
 */
export async function runSuiteProgram(
  name: string,
  flags: readonly string[],
  { program, directory, kubeconfigFile, signal }: SuiteOptions,
): Promise<string> {
  await mkdir(directory, { recursive: true });
  const logFile = join(directory, `${name}.log`);
  const log = createWriteStream(logFile);
  const child = spawn(program, flags, {
    env: { ...process.env, KUBECONFIG: kubeconfigFile },
    stdio: ["ignore", "pipe", "pipe"],
    ...(signal === undefined ? {} : { signal }),
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.on("error", reject).on("close", () => resolve());
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  try {
    await promise;
  } finally {
    log.end();
    await finished(log);
  }
  return readFile(logFile, "utf8");
}

/** For a suite that could not begin its tests. */
export function notBegun(name: string, output: string): ConformanceError {
  const end = output.trim().split("\n").slice(-15).join("\n");
  return new ConformanceError("unreachable", `Cannot run suite ${name}:\n${end}`);
}

/** Words `-name=value`, as Go's flags take them. */
export function formatFlags(flags: Readonly<Record<string, string | boolean>>): string[] {
  return Object.entries(flags).map(([name, value]) => `-${name}=${value}`);
}
