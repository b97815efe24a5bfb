// Runs files of tests in this one process: `node scripts/test-batch.ts FILE...`. Most of what a
// small file costs is its process; these must leave theirs as they found it.

import { run } from "node:test";
import { spec } from "node:test/reporters";

/** For one test; the slowest takes a second on two busy cores. */
const TEST_TIMEOUT_MS = 60_000;
/** Nothing begins for so long: all tests are over, and what they left open keeps the process. */
const SILENCE_MS = 1.5 * TEST_TIMEOUT_MS;

const stream = run({
  files: process.argv.slice(2),
  isolation: "none",
  timeout: TEST_TIMEOUT_MS,
});
const silence = setTimeout(() => {
  const open = process.getActiveResourcesInfo().join(" ");
  process.stdout.write(`✖ something stays open after the tests: ${open}\n`);
  process.exit(1);
}, SILENCE_MS).unref();
stream.on("test:dequeue", ({ file, name }) => {
  silence.refresh();
  // At once: this test may let nothing else happen any more.
  process.stdout.write(`${file ?? ""}: ${name}\n`);
});
stream.on("test:fail", () => {
  process.exitCode = 1;
});
for await (const text of stream.compose(spec)) process.stdout.write(text);
