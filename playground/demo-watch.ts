// The tour's look at a proxy while it works: `innermesh top` and `innermesh tap`.

import assert from "node:assert/strict";
import { askAgent, http, type Stage, type Step } from "./demo-stage.ts";

export const WATCH_STEPS: readonly Step[] = [top, tap, redact];

const SHOP_VIP = "10.96.0.50";
const SECRET = "s3cr3t";
/** A request that the steps wait for; a token as clients send it. */
const ORDER = {
  ...http(SHOP_VIP),
  path: `/orders?token=${SECRET}`,
  headers: { authorization: `Bearer ${SECRET}`, "x-tester": "yes" },
};
const LOAD = { ratePerSecond: 50, durationMs: 60_000 };

/** What `top` tells of one edge, as far as the tour reads it. */
interface TopRow {
  readonly service: string;
  readonly ejected: number;
}

/** Asks for the edges on which something happened during `work`. */
export async function topRows(
  stage: Stage,
  work: () => Promise<unknown>,
): Promise<readonly TopRow[]> {
  const asked = askAgent(stage, "top", "--once", "--interval=0.5", "-o", "json");
  let running = true;
  const working = (async () => {
    while (running) await work();
  })();
  const { code, stdout, stderr } = await asked;
  running = false;
  await working;
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

async function top(stage: Stage): Promise<void> {
  const { tour, pod } = stage;
  await tour.step("innermesh top --once: who talks to whom through node-1's proxy", async () => {
    const loads = [ORDER, http("10.96.0.10"), http("10.96.0.54")].map((target) =>
      pod.startLoad(target, LOAD),
    );
    const { stdout } = await askAgent(stage, "top", "--once");
    for (const load of loads) assert.equal((await load.stop()).failed, 0);
    assert.match(stdout, /^default +default\/shop:80 +HTTPRoute default\/shop +http .* 100% /m);
    assert.match(stdout, /^default +default\/web:80 +- +tcp /m);
    tour.show(stdout);
    return "as shown";
  });
}

async function tap(stage: Stage): Promise<void> {
  await stage.tour.step("innermesh tap --path /orders: requests as they end", async () => {
    const shown = await tapOrders(stage, "--count=3");
    assert.equal(shown.trimEnd().split("\n").length, 3);
    assert.match(shown, /GET 10\.96\.0\.50\/orders 200 /);
    stage.tour.show(shown);
    return "as shown, without the query";
  });
}

async function redact(stage: Stage): Promise<void> {
  await stage.tour.step("innermesh tap -o json: secrets are blotted out", async () => {
    const shown = await tapOrders(stage, "--count=1", "-o", "json");
    const { headers } = JSON.parse(shown);
    assert.equal(headers.authorization, "[redacted]");
    assert.equal(headers["x-tester"], "yes");
    stage.tour.show(JSON.stringify({ headers }, undefined, 2));
    return "the token is in none of its fields; its headers:";
  });
}

/** @throws AssertionError when the secret is seen */
async function tapOrders(stage: Stage, ...argv: readonly string[]): Promise<string> {
  const load = stage.pod.startLoad(ORDER, { ...LOAD, ratePerSecond: 10 });
  const { code, stdout, stderr } = await askAgent(stage, "tap", "--path=/orders", ...argv);
  await load.stop();
  assert.equal(code, 0, stderr);
  assert(!stdout.includes(SECRET), stdout);
  return stdout;
}
