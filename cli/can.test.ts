// The verbs about policies as programs: what they print, and their exit codes.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const ROOT = join(import.meta.dirname, "..");
const SOURCE = ["--source", "dir:examples/policy", "--identity=off"];

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function innermesh(...words: readonly string[]): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>();
  execFile(join(ROOT, "bin/innermesh"), words, { cwd: ROOT }, (error, stdout, stderr) =>
    resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
  );
  return promise;
}

test("can ends with 0 for what is allowed and 1 for what is not, and prints JSON", async () => {
  const allowed = await innermesh(
    "can",
    "shop/front",
    "shop/payments:8080",
    "-o",
    "json",
    ...SOURCE,
  );
  assert.equal(allowed.code, 0, allowed.stderr);
  const { verdict, ways } = JSON.parse(allowed.stdout);
  assert.deepEqual([verdict, ways[0].lane], ["allow", "tunnel"]);
  const denied = await innermesh(
    "can",
    "shop/batch",
    "shop/orders:http",
    "POST",
    "/orders",
    ...SOURCE,
  );
  assert.equal(denied.code, 1);
  assert.match(denied.stdout, /POST \/orders: denied/);
});

test("can ends with 2 for what cannot be understood", async () => {
  const { code, stderr } = await innermesh("can", "shop/nobody", "shop/orders:80", ...SOURCE);
  assert.equal(code, 2);
  assert.match(stderr, /Cannot find Pod "shop\/nobody"/);
});

test("why and policy diff end with 1 for what is denied", async () => {
  const denied = await innermesh(
    "why",
    "shop/front",
    "10.72.1.4:5432",
    "--node",
    "node-1",
    ...SOURCE,
  );
  assert.equal(denied.code, 1, denied.stderr);
  assert.match(denied.stdout, /NetworkPolicy data\/default-deny/);
  const files = ["-f", "cli/policy/testdata/only-front.yaml"];
  const edges = ["--edges", "cli/policy/testdata/edges.json"];
  const diff = await innermesh("policy", "diff", ...files, ...edges, ...SOURCE);
  assert.equal(diff.code, 1, diff.stderr);
  assert.match(diff.stdout, /newly denied/);
});

test("what a node remembers is asked of its process, and 3 says that there is none", async () => {
  for (const record of ["edges", "denials"]) {
    const { code, stderr } = await innermesh("policy", record, "--socket", "/nowhere.sock");
    assert.equal(code, 3);
    assert.match(stderr, /Cannot reach the node's process at \/nowhere\.sock/);
  }
});
