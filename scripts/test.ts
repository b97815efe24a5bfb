// `make test` and `make soak`: makes the real programs ready, then hands every test file to one run
// of node's test runner, whose closing lines are the last thing printed.

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { goDirectory } from "./go.ts";
import { nodeTestStep, ROOT, runAttached, STATIC_TEST, testFiles } from "./steps.ts";

const MINUTE_MS = 60_000;

const { values } = parseArgs({ options: { soak: { type: "boolean", default: false } } });

async function run(): Promise<number> {
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
  // The long ones first: what is left over at the end is short.
  const system = testFiles("system");
  const files = values.soak ? system : [...system, STATIC_TEST, ...testFiles("unit")];
  const tests = nodeTestStep("tests", files, {
    concurrency: Math.min(4, availableParallelism()),
    timeoutMs: values.soak ? 12 * 60 * MINUTE_MS : 15 * MINUTE_MS,
  });
  return runAttached(tests, { PATH: path, INNERMESH_SOAK: values.soak ? "1" : "" });
}

function complain(sentence: string): number {
  process.stderr.write(`${sentence}\n`);
  return 1;
}

process.chdir(ROOT);
process.exitCode = await run();
