// What `make check` looks at: each step is one program, silent unless it finds something.

import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";

/** The top of the checkout. */
export const ROOT = dirname(import.meta.dirname);

/** The static steps as a test file, for runs that do not take them one by one. */
export const STATIC_TEST = "scripts/static.test.ts";

/** For one file of unit tests; the slowest takes a few seconds on two busy cores. */
const UNIT_TIMEOUT_MS = 60_000;

const NODE_FLAGS = ["--disable-warning=ExperimentalWarning"];

export interface Step {
  readonly name: string;
  readonly command: string;
  readonly words: readonly string[];
}

export interface StepResult {
  readonly ok: boolean;
  /** Both streams, in the order they came. */
  readonly output: string;
  readonly durationMs: number;
}

/** Types, lint and format. */
export const STATIC_STEPS: readonly Step[] = [
  { name: "types", command: "tsc", words: ["--pretty", "false"] },
  { name: "lint", command: "oxlint", words: ["--type-aware", "--deny-warnings"] },
  { name: "format", command: "biome", words: ["format", "--log-level=warn", "--colors=off"] },
];

/** The tests that need no root, kernel or program; tidiness is among them. */
export function unitTestStep(): Step {
  return nodeTestStep("tests", testFiles("unit"), {
    // Many of them wait for sockets and timers more than they compute.
    concurrency: 2 * availableParallelism() + 1,
    timeoutMs: UNIT_TIMEOUT_MS,
  });
}

/** Which tests: beside the code, or under `test/` where they may ask for root and real programs. */
export type TestKind = "unit" | "system";

/** Paths of test files, relative to the top and sorted. The static steps are in neither kind. */
export function testFiles(kind: TestKind): readonly string[] {
  const exclude = ["node_modules/**", "build/**", STATIC_TEST];
  const files = globSync("**/*.test.ts", { cwd: ROOT, exclude }).sort();
  return files.filter((file) => file.startsWith("test/") === (kind === "system"));
}

/** One run of node's test runner over `files`. */
export function nodeTestStep(
  name: string,
  files: readonly string[],
  options: { readonly concurrency: number; readonly timeoutMs?: number },
): Step {
  const words = [...NODE_FLAGS, "--test", `--test-concurrency=${options.concurrency}`];
  if (options.timeoutMs !== undefined) words.push(`--test-timeout=${options.timeoutMs}`);
  return { name, command: process.execPath, words: [...words, ...files] };
}

/** Runs a step to its end. Rejects only if it cannot start. */
export async function runStep(step: Step): Promise<StepResult> {
  const startMs = performance.now();
  const child = spawn(step.command, step.words, {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    env: environment(),
  });
  const stop = (): boolean => child.kill();
  process.once("exit", stop);
  const chunks: string[] = [];
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => chunks.push(chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => chunks.push(chunk));
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.on("error", reject).on("close", (status) => resolve(status ?? 1));
  const status = await promise;
  process.off("exit", stop);
  return { ok: status === 0, output: chunks.join(""), durationMs: performance.now() - startMs };
}

/**
 * Runs a step on this process's own terminal.
 * @param variables on top of this process's environment
 * @returns its exit status, 1 after a signal
 */
export async function runAttached(step: Step, variables: NodeJS.ProcessEnv = {}): Promise<number> {
  const env = { ...environment(), ...variables };
  const child = spawn(step.command, step.words, { cwd: ROOT, stdio: "inherit", env });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.on("error", reject).on("close", (status) => resolve(status ?? 1));
  return promise;
}

/** Ours first in PATH; without the mark that makes a nested test runner report to its parent. */
function environment(): NodeJS.ProcessEnv {
  const { NODE_TEST_CONTEXT: _, ...rest } = process.env;
  return { ...rest, PATH: `${join(ROOT, "node_modules/.bin")}:${process.env["PATH"] ?? ""}` };
}
