// `make check`: all steps at once; one line for each, and the whole output of those that fail.

import { runStep, STATIC_STEPS, type Step, unitTestStep } from "./steps.ts";

/** Where node's test runner starts to repeat what failed; what comes before says the same. */
const FAILURES_MARK = "✖ failing tests:";

async function check(step: Step): Promise<boolean> {
  const { ok, output, durationMs } = await runStep(step);
  const seconds = (durationMs / 1000).toFixed(1).padStart(5);
  process.stdout.write(`${step.name.padEnd(8)}${ok ? "ok    " : "FAILED"}${seconds} s\n`);
  if (!ok) {
    const failures = output.indexOf(FAILURES_MARK);
    process.stdout.write(`${output.slice(Math.max(0, failures)).trim()}\n\n`);
  }
  return ok;
}

const results = await Promise.all([...STATIC_STEPS, unitTestStep()].map(check));
process.exitCode = results.every((ok) => ok) ? 0 : 1;
