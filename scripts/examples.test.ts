// What examples/README.md promises about each folder of examples.

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

const ROUTES = ["--source", "dir:examples/routes", "--node", "node-1"];

test("the example routes are planned without a problem, and the proxy does what they say", async () => {
  const { stdout, stderr } = await innermesh("plan", "-o", "json", ...ROUTES);
  assert.equal(stderr, "");
  const [{ proxy }] = JSON.parse(stdout);
  const { routes } = proxy.ports["shop/cart:80 IPv4"].kind;
  assert.deepEqual(
    routes.rules[0].backends.map(({ weight }: { readonly weight: number }) => weight),
    [90, 10],
  );
  const explained = await innermesh("explain", "service", "shop/orders", ...ROUTES);
  assert.match(explained.stdout, /method GET .* mirror 25 % to shop\/orders-next:80/);
  const mail = await innermesh("explain", "service", "shop/mail", ...ROUTES);
  assert.match(mail.stdout, /\*\.eu\.mail\.example +100 % shop\/mail-eu:8443/);
  const sql = await innermesh("explain", "service", "data/postgres", ...ROUTES);
  assert.match(sql.stdout, /95 % data\/postgres-16:5432 IPv4, 5 % data\/postgres-17:5432/);
});

const requests: readonly (readonly [to: string, request: string, header: string, rule: string])[] =
  [
    ["shop/search:80", "GET /", "x-user-group:beta", "testers"],
    ["shop/search:80", "GET /", "x-user-group:alpha", "everybody"],
    ["shop/prices:9000", "POST /shop.Prices/Export", "te:trailers", "bulk"],
    ["shop/prices:9000", "POST /shop.Prices/Get", "te:trailers", "calls"],
  ];
for (const [to, request, header, rule] of requests) {
  test(`in the examples, ${request} to ${to} with ${header} is served by rule ${rule}`, async () => {
    const asked = ["--from", "shop/front", "--to", to, "--request", request, "-H", header];
    const { stdout } = await innermesh("trace", "-o", "json", ...asked, ...ROUTES);
    assert.equal(JSON.parse(stdout).proxy.rule.rule, rule);
  });
}

test("the example policies are read without a problem", async () => {
  const flags = ["--source", "dir:examples/policy", "--node", "node-1"];
  const { stderr } = await innermesh("plan", ...flags);
  assert.equal(stderr, "");
});

test("every example file is told about", async () => {
  const readme = await readFile(join(ROOT, "examples/README.md"), "utf8");
  const folders = ["services", "routes", "identity", "policy"];
  const files = await Promise.all(folders.map((name) => readdir(join(ROOT, "examples", name))));
  assert.deepEqual(
    files.flat().filter((file) => !readme.includes(`\`${file}\``)),
    [],
  );
});
