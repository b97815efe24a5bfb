// What `make check` looks at: each step is one program, silent unless it finds something.

import { spawn } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The top of the checkout. */
export const ROOT = dirname(import.meta.dirname);

/** The static steps as a test file, for runs that do not take them one by one. */
export const STATIC_TEST = "scripts/static.test.ts";

/** Kept between runs, so that only what changed is checked and compiled anew. */
const TYPES_CACHE = "build/types.tsbuildinfo";
const CODE_CACHE = join(ROOT, "build/compiled");

/** So many files of tests share a process, since most of a small one's time is its start. */
const BATCH_FILES = 32;
/** A step takes seconds; a test that never gives way cannot be ended by a limit of its own. */
const STEP_TIMEOUT_MS = 300_000;
/** Hooks for every test of the process, or a look at it: such a file has a process of its own. */
const OWN_PROCESS = /^(before|after)(Each)?\(|\bprocess\.(?!pid|execPath|arch|getuid)/m;

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
  {
    name: "types",
    command: "tsc",
    words: ["--pretty", "false", "--incremental", "--tsBuildInfoFile", TYPES_CACHE],
  },
  { name: "lint", command: "oxlint", words: ["--type-aware", "--deny-warnings"] },
  { name: "format", command: "biome", words: ["format", "--log-level=warn", "--colors=off"] },
];

/**
 * The tests that need no root, kernel or program; tidiness is among them. Files share processes
 * here, and have one each in `make test`: that they hold alone as well is proven there.
 */
export function unitTestSteps(): readonly Step[] {
  const { alone = [], shared = [] } = Object.groupBy(testFiles("unit"), (file) =>
    OWN_PROCESS.test(readFileSync(join(ROOT, file), "utf8")) ? "alone" : "shared",
  );
  // Slow files are neighbours: dealt out one by one they do not end in the same batch.
  const count = Math.ceil(shared.length / BATCH_FILES);
  const batches = Array.from({ length: count }, (_, batch) =>
    shared.filter((__, i) => i % count === batch),
  );
  return [...batches, ...alone.map((file) => [file])].map((files) => ({
    name: "tests",
    command: process.execPath,
    words: [...NODE_FLAGS, "scripts/test-batch.ts", ...files],
  }));
}

/** Which tests: beside the code, or under `test/` where they may ask for root and real programs. */
export type TestKind = "unit" | "system";

/** Paths of test files, relative to the top and sorted. The static steps are in neither kind. */
export function testFiles(kind: TestKind): readonly string[] {
  const exclude = ["node_modules/**", "build/**", STATIC_TEST];
  const files = globSync("**/*.test.ts", { cwd: ROOT, exclude }).sort();
  return files.filter((file) => file.startsWith("test/") === (kind === "system"));
}

/** Runs a step to its end, or its limit. Rejects only if it cannot start. */
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
  const limit = setTimeout(() => {
    chunks.push(`killed after ${STEP_TIMEOUT_MS / 1000} s\n`);
    child.kill("SIGKILL");
  }, STEP_TIMEOUT_MS);
  const status = await promise;
  clearTimeout(limit);
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
  return {
    NODE_COMPILE_CACHE: CODE_CACHE,
    ...rest,
    PATH: `${join(ROOT, "node_modules/.bin")}:${process.env["PATH"] ?? ""}`,
  };
}
