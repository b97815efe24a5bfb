import assert from "node:assert/strict";
import { test } from "node:test";
import type { Load } from "./proxy-load.ts";
import type { ProxyCase, ProxyCost, ProxyMeasurement } from "./proxy-measure.ts";
import { judgeProxy, proxyRows } from "./proxy-report.ts";
import type { ProxySubject } from "./proxy-subject.ts";

const what: ProxyCase = {
  title: "requests",
  service: "http",
  plan: { kind: "wrk", connections: 1 },
  unit: "request",
  limits: [{ peer: "haproxy", atMost: 1.6 }],
};

function cost(cpuMs: number, p50Us: number, rest: Partial<ProxyCost> = {}): ProxyCost {
  const tail = { p99Us: p50Us, p999Us: p50Us };
  const load: Load = { completed: 1_000, failed: 0, bytes: 1, seconds: 2, p50Us, ...tail };
  const nothing = { parentCpuMs: 0, children: 0, rssBeforeMiB: 0, rssMiB: 10 };
  return { load, units: 1_000, cpuMs, ...nothing, ...rest };
}

function measured(key: ProxySubject["key"], ...costs: readonly ProxyCost[]): ProxyMeasurement {
  const pid = key === "none" ? undefined : 1;
  return { what, subject: { key, subject: key, pid, target: () => undefined }, costs };
}

function valueOf(measurements: readonly ProxyMeasurement[], subject: string, metric: string) {
  const rows = proxyRows(measurements);
  return rows.find((row) => row.subject === subject && row.metric === metric)?.value;
}

const direct = measured("none", cost(0, 20));

test("a budget compares round by round, so that a slow round cancels out", () => {
  const ours = measured("innermesh-l7", cost(15, 50), cost(150, 50), cost(30, 50));
  const peer = measured("haproxy", cost(10, 40), cost(100, 40), cost(10, 40));
  const [budget] = judgeProxy([peer, ours, direct]);
  assert.equal(budget?.value, 1.5);
  assert.equal(budget.ok, true);
});

test("without its peer a budget is no result", () => {
  assert.throws(() => judgeProxy([measured("innermesh-l7", cost(15, 50)), direct]), /haproxy/);
});

test("with one request under way, latency is also told as what the proxy adds", () => {
  const all = [measured("haproxy", cost(10, 45)), direct];
  assert.equal(valueOf(all, "haproxy", "latency added, p50"), 25);
  assert.equal(valueOf(all, "none", "latency added, p50"), undefined);
});

test("the agent's part of the CPU is told when it has workers", () => {
  const all = [measured("innermesh-l7", cost(10, 45, { parentCpuMs: 2, children: 1 })), direct];
  assert.equal(valueOf(all, "innermesh-l7", "CPU for one request"), 10);
  assert.equal(valueOf(all, "innermesh-l7", "CPU for one request, of that the agent"), 2);
});
