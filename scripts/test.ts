// `make test` and `make soak`: makes the real programs ready, then hands the test files to node's
// test runner: those with real parts one by one, the others side by side.

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
  const environment = { PATH: path, INNERMESH_SOAK: values.soak ? "1" : "" };
  // One at a time: they load the machine, and some of their claims are about time.
  const system = nodeTestStep("system", testFiles("system"), {
    concurrency: 1,
    timeoutMs: values.soak ? 12 * 60 * MINUTE_MS : 15 * MINUTE_MS,
  });
  const systemStatus = await runAttached(system, environment);
  if (values.soak) return systemStatus;
  const unit = nodeTestStep("unit", [STATIC_TEST, ...testFiles("unit")], {
    concurrency: Math.min(4, availableParallelism()),
    timeoutMs: 5 * MINUTE_MS,
  });
  const unitStatus = await runAttached(unit, environment);
  if (systemStatus !== 0) complain("The tests with real parts failed: see above");
  return systemStatus === 0 ? unitStatus : systemStatus;
}

function complain(sentence: string): number {
  process.stderr.write(`${sentence}\n`);
  return 1;
}

process.chdir(ROOT);
process.exitCode = await run();
