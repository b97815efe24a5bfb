// What a process with keys must not run with, and what it closes.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { exposingFlags } from "./memory-guard.ts";

const MAIN = fileURLToPath(new URL("../cli/main.ts", import.meta.url));
const GUARD = new URL("memory-guard.ts", import.meta.url).href;
const QUIET = "--disable-warning=ExperimentalWarning";

test("flags that show memory, or what TLS keeps secret, are found wherever they were given", () => {
  for (const flag of [
    "--inspect",
    "--inspect=0.0.0.0:9229",
    "--inspect-brk",
    "--inspect_brk",
    "--inspect-wait",
    "--debug-port=1",
    "--heapsnapshot-signal=SIGUSR2",
    "--heapsnapshot-near-heap-limit=1",
    "--heap-prof",
    "--report-on-signal",
    "--report-on-fatalerror",
    "--report-uncaught-exception",
    "--tls-keylog=/tmp/keys",
    "--trace-tls",
  ]) {
    assert.deepEqual(exposingFlags([QUIET, flag], undefined), [flag]);
    assert.deepEqual(exposingFlags([], `${QUIET} ${flag}`), [flag]);
    assert.deepEqual(exposingFlags([], `"${flag}"`), [flag]);
  }
});

test("what the agent is always started with is no such flag", () => {
  const usual = [QUIET, "--max-semi-space-size=4", "--report-dir=/tmp", "--no-warnings"];
  assert.deepEqual(exposingFlags(usual, "--max-old-space-size=200"), []);
});

test("a node that is to hold keys does not start with a debugger, and says so", async () => {
  const argv = [QUIET, "--heapsnapshot-signal=SIGUSR2", MAIN, "node", "--identity=off"];
  const run = promisify(execFile)(process.execPath, [...argv, "--certificate-authority=dir:/none"]);
  await assert.rejects(run, (error: { readonly code?: unknown; readonly stderr?: unknown }) => {
    assert.equal(error.code, 2);
    assert.match(
      String(error.stderr),
      /Cannot hold private keys .* --heapsnapshot-signal=SIGUSR2;/,
    );
    return true;
  });
});

test("a closed process writes no core, and no signal opens its debugger", async () => {
  const program = `
    import { closeMemory, memoryExposure } from ${JSON.stringify(GUARD)};
    const before = memoryExposure();
    closeMemory();
    const alive = setInterval(() => {}, 1_000);
    process.once("SIGUSR1", () => {
      clearInterval(alive);
      console.log(JSON.stringify([before, memoryExposure()]));
    });
    process.kill(process.pid, "SIGUSR1");`;
  const child = spawn(process.execPath, [QUIET, "--input-type=module", "--eval", program]);
  const output = { out: "", err: "" };
  child.stdout.on("data", (bytes: Buffer) => (output.out += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (output.err += bytes.toString()));
  await once(child, "close");
  assert.deepEqual(JSON.parse(output.out), [["its memory may be dumped"], []]);
  assert.doesNotMatch(output.err, /Debugger/);
});
