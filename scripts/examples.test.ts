// What examples/README.md promises about examples/services.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { ROOT } from "./steps.ts";

const run = promisify(execFile);
const innermesh = (...words: readonly string[]): Promise<{ stdout: string; stderr: string }> =>
  run(join(ROOT, "bin/innermesh"), words, { cwd: ROOT });

test("the example Services are planned without a problem", async () => {
  const flags = ["--source", "dir:examples/services", "--node", "node-1"];
  const { stdout, stderr } = await innermesh("plan", ...flags);
  assert.equal(stderr, "");
  for (const name of ["web:http", "login:https", "front:http", "dns:dns", "idle:80"]) {
    assert.ok(stdout.includes(`/${name}/`), `${name} is in the plan`);
  }
});

test("every example file is told about", async () => {
  const readme = await readFile(join(ROOT, "examples/README.md"), "utf8");
  const files = await readdir(join(ROOT, "examples/services"));
  assert.deepEqual(
    files.filter((file) => !readme.includes(`\`${file}\``)),
    [],
  );
});
