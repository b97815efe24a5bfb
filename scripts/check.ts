// `make check`: all steps at once; one line for each, and the whole output of those that fail.

import { availableParallelism } from "node:os";
import { runStep, STATIC_STEPS, type Step, type StepResult, unitTestSteps } from "./steps.ts";

/** Where node's test runner starts to repeat what failed; what comes before says the same. */
const FAILURES_MARK = "✖ failing tests:";

/** Runs the parts of one step, so many at a time, and prints what came of it. */
async function check(parts: readonly Step[], concurrency: number): Promise<boolean> {
  const startMs = performance.now();
  const failed: StepResult[] = [];
  // One queue for all: whoever is free takes the next.
  const queue = parts.values();
  const work = async (): Promise<void> => {
    for (const part of queue) {
      const result = await runStep(part);
      if (!result.ok) failed.push(result);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1).padStart(5);
  const name = (parts[0]?.name ?? "").padEnd(8);
  process.stdout.write(`${name}${failed.length === 0 ? "ok    " : "FAILED"}${seconds} s\n`);
  for (const { output } of failed) {
    const failures = output.indexOf(FAILURES_MARK);
    process.stdout.write(`${output.slice(Math.max(0, failures)).trim()}\n\n`);
  }
  return failed.length === 0;
}

const results = await Promise.all([
  ...STATIC_STEPS.map((step) => check([step], 1)),
  // One more than cores: tests wait for sockets and timers, too.
  check(unitTestSteps(), availableParallelism() + 1),
]);
process.exitCode = results.every((ok) => ok) ? 0 : 1;
