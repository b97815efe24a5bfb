// `make test` and `make soak`: makes the real programs ready, then hands the test files to node's
// test runner: those with real parts one by one, the others side by side. The last lines say what
// failed, whatever came in between.

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { goDirectory } from "./go.ts";
import { ROOT, runAttached, STATIC_TEST, testFiles } from "./steps.ts";
import { type FailedFile, formatFailures, runTests } from "./test-run.ts";

const MINUTE_MS = 60_000;
/** More files than this are no accident of timing. */
const MOST_TO_REPEAT = 5;

const { values } = parseArgs({ options: { soak: { type: "boolean", default: false } } });

async function test(): Promise<number> {
  if (process.getuid?.() !== 0) {
    return complain("Cannot run the tests in network namespaces: run as root");
  }
  const path = [await goDirectory(), process.env["PATH"]].filter(Boolean).join(":");
  const binaries = {
    name: "binaries",
    command: process.execPath,
    words: ["test/cluster/binaries.ts", "--all"],
  };
  const status = await runAttached(binaries, { PATH: path });
  if (status !== 0) return complain("Cannot test with a real API server: its programs are missing");
  const env = { ...process.env, PATH: path, INNERMESH_SOAK: values.soak ? "1" : "" };
  // One at a time: they load the machine, and some of their claims are about time.
  const system = {
    concurrency: 1,
    timeoutMs: values.soak ? 12 * 60 * MINUTE_MS : 15 * MINUTE_MS,
    env,
  };
  const first = await runTests(testFiles("system"), system);
  if (values.soak) return report(first);
  const unit = await runTests([STATIC_TEST, ...testFiles("unit")], {
    concurrency: Math.min(4, availableParallelism()),
    timeoutMs: 5 * MINUTE_MS,
    env,
  });
  return report([...(await repeat(first, system)), ...unit]);
}

/**
 * Runs the files that failed once more, if they are few: real packets meet a busy machine now and
 * then. A test that needs this is a defect to mend, so what failed is told even if it passes now.
 * @returns what failed both times
 */
async function repeat(
  first: readonly FailedFile[],
  options: Parameters<typeof runTests>[1],
): Promise<readonly FailedFile[]> {
  if (first.length === 0 || first.length > MOST_TO_REPEAT) return first;
  const paths = first.map(({ path }) => path);
  process.stdout.write(`Once more, since they failed:\n${formatFailures(first)}`);
  const second = await runTests(paths, options);
  const passed = first.filter(({ path }) => second.every((file) => file.path !== path));
  if (passed.length > 0) complain(`Failed at first, passed alone:\n${formatFailures(passed)}`);
  return second;
}

/** @returns the exit status */
function report(failed: readonly FailedFile[]): number {
  return failed.length === 0 ? 0 : complain(`Failed:\n${formatFailures(failed)}`);
}

function complain(text: string): number {
  process.stderr.write(`${text.trimEnd()}\n`);
  return 1;
}

process.chdir(ROOT);
process.exitCode = await test();
