// One run of node's test runner over files, and which of them failed.

import { run } from "node:test";
import { spec } from "node:test/reporters";
import { ROOT } from "./steps.ts";

/** When no test begins for so long after the last one must have ended, the run is ended. */
const SILENCE_MS = 60_000;

/** What failed in one file: names of tests, or the file's own when it ended before its tests. */
export interface FailedFile {
  readonly path: string;
  readonly tests: readonly string[];
}

export interface RunOptions {
  /** How many files at once, each in a process. */
  readonly concurrency: number;
  /** For one file. */
  readonly timeoutMs: number;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Runs test files and prints what node's spec reporter prints.
 * @param files relative to the top
 * @returns those with a failure, in the order they failed
 */
export async function runTests(
  files: readonly string[],
  { concurrency, timeoutMs, env }: RunOptions,
): Promise<readonly FailedFile[]> {
  const failed = new Map<string, string[]>();
  const ending = new AbortController();
  const stream = run({
    files: [...files],
    cwd: ROOT,
    concurrency,
    timeout: timeoutMs,
    execArgv: ["--disable-warning=ExperimentalWarning"],
    env,
    signal: ending.signal,
  });
  // A test that timed out may keep its process, and so the run, alive for ever.
  const silence = setTimeout(() => ending.abort(), timeoutMs + SILENCE_MS);
  stream.on("test:dequeue", () => silence.refresh());
  stream.on("test:fail", ({ file, name, details }) => {
    const path = (file ?? name).replace(`${ROOT}/`, "");
    const tests = failed.get(path) ?? [];
    failed.set(path, tests);
    if (details.type !== "suite") tests.push(name.replace(`${ROOT}/`, ""));
  });
  for await (const text of stream.compose(spec)) process.stdout.write(text);
  clearTimeout(silence);
  return [...failed].map(([path, tests]) => ({ path, tests }));
}

/** A line for each failure, for the end of a report. */
export function formatFailures(failures: readonly FailedFile[]): string {
  return failures
    .flatMap(({ path, tests }) => tests.map((name) => `  ${path}: ${name}\n`))
    .join("");
}
