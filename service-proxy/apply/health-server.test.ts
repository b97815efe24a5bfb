import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeHealth, noteSynced, startingHealth } from "../model/proxy-health.ts";
import { type HealthHandlerOptions, type HealthState, makeHealthHandler } from "./health-server.ts";
import { listenHttp } from "./http-listener.ts";

const now = { monotonicMs: 5, wallMs: Date.UTC(2026, 0, 2) };
const LATER = "2026-01-02T00:01:00.000Z";
const SYNCED = "2026-01-02T00:00:00.000Z";

function stateOf(isSynced: boolean, nodeEligible: boolean): HealthState {
  const starting = startingHealth(["IPv4"]);
  const health = isSynced ? noteSynced(starting, "IPv4", { now }) : starting;
  const verdict = judgeHealth(health, { now, timeoutMs: 60_000 });
  return { verdict, nodeEligible, nowMs: now.wallMs + 60_000 };
}

async function ask(
  path: string,
  state: HealthState,
  more: Pick<HealthHandlerOptions, "enforcement"> = {},
) {
  const counted: string[] = [];
  const handler = makeHealthHandler({
    ...more,
    state: () => state,
    onAnswer: (answered, status) => void counted.push(`${answered} ${status}`),
  });
  const listener = await listenHttp({ host: "127.0.0.1", port: 0 }, handler);
  try {
    const response = await fetch(`http://127.0.0.1:${listener.address.port}${path}`);
    const { status, headers } = response;
    return { status, headers, text: await response.text(), counted };
  } finally {
    await listener.close();
  }
}

test("/healthz of a healthy node is 200 with kube-proxy's JSON", async () => {
  const { status, headers, text, counted } = await ask("/healthz", stateOf(true, true));
  assert.equal(status, 200);
  assert.equal(headers.get("content-type"), "application/json");
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.deepEqual(JSON.parse(text), {
    lastUpdated: LATER,
    currentTime: LATER,
    nodeEligible: true,
    healthy: true,
    status: { IPv4: { lastUpdated: SYNCED, healthy: true } },
  });
  assert.deepEqual(counted, ["/healthz 200"]);
});

test("/healthz is 503 on a node that is being removed, /livez is not", async () => {
  const leaving = stateOf(true, false);
  const healthz = await ask("/healthz", leaving);
  assert.equal(healthz.status, 503);
  const { nodeEligible, healthy, lastUpdated } = JSON.parse(healthz.text);
  assert.deepEqual([nodeEligible, healthy, lastUpdated], [false, true, SYNCED]);
  const livez = await ask("/livez", leaving);
  assert.equal(livez.status, 200);
  assert.equal("nodeEligible" in JSON.parse(livez.text), false);
});

test("before the first sync /healthz is 503, /livez 200, and lastUpdated Go's zero time", async () => {
  for (const [path, code] of [
    ["/healthz", 503],
    ["/livez", 200],
  ] as const) {
    const { status, text, counted } = await ask(path, stateOf(false, true));
    assert.equal(status, code);
    assert.equal(JSON.parse(text).lastUpdated, "0001-01-01T00:00:00Z");
    assert.deepEqual(counted, [`${path} ${code}`]);
  }
});

test("a query does not matter, another path is 404 and not counted", async () => {
  assert.equal((await ask("/healthz?verbose", stateOf(true, true))).status, 200);
  const { status, counted } = await ask("/", stateOf(true, true));
  assert.deepEqual([status, counted], [404, []]);
});

test("/policyz tells which policies hold, where they are kept, and is not counted", async () => {
  const enforcement = { report: () => '{"policies":{}}', revision: () => "r1" };
  const whole = await ask("/policyz", stateOf(true, true), { enforcement });
  assert.deepEqual([whole.status, whole.text, whole.counted], [200, '{"policies":{}}', []]);
  assert.equal(whole.headers.get("content-type"), "application/json");
  const short = await ask("/policyz/revision", stateOf(true, true), { enforcement });
  assert.deepEqual([short.status, short.text], [200, "r1"]);
  assert.equal((await ask("/policyz", stateOf(true, true))).status, 404);
});
