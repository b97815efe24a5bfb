import assert from "node:assert/strict";
import { test } from "node:test";
import type { TunnelCase, TunnelCost, TunnelMeasurement } from "./tunnel-measure.ts";
import { judgeTunnels, tunnelRows } from "./tunnel-report.ts";
import type { TunnelSubject } from "./tunnel-subject.ts";

const requests: TunnelCase = {
  title: "requests",
  door: "pooled",
  plan: { kind: "wrk", connections: 1 },
  unit: "request",
  limits: [{ peer: "envoy", atMost: 1 }],
};

function cost(clientMs: number, serverMs: number, rest: Partial<TunnelCost> = {}): TunnelCost {
  const none = { client: 0, server: 0 };
  const latency = { p50Us: 100, p99Us: 200 };
  const cpuMs = { client: clientMs, server: serverMs };
  return { units: 1_000, seconds: 2, latency, cpuMs, rssMiB: none, addedMiB: none, ...rest };
}

function measured(
  key: TunnelSubject["key"],
  costs: readonly TunnelCost[],
  what = requests,
): TunnelMeasurement {
  const pids = key === "none" ? undefined : { client: 1, server: 2 };
  const doors = { pooled: [], cold: [], sink: [], source: [] };
  return { what, subject: { key, subject: key, pids, doors }, costs };
}

function valueOf(measurements: readonly TunnelMeasurement[], metric: string): number | undefined {
  return tunnelRows(measurements).find((row) => row.metric === metric)?.value;
}

test("a budget is kept on each node by itself, and compares round by round", () => {
  const ours = measured("innermesh", [cost(9, 22), cost(90, 220), cost(8, 30)]);
  const peer = measured("envoy", [cost(10, 20), cost(100, 200), cost(10, 20)]);
  const budgets = judgeTunnels([peer, ours]);
  assert.deepEqual(
    budgets.map(({ value, ok }) => ({ value, ok })),
    [
      { value: 0.9, ok: true },
      { value: 1.1, ok: false },
    ],
  );
});

test("without its peer a budget is no result", () => {
  assert.throws(() => judgeTunnels([measured("innermesh", [cost(1, 1)])]), /envoy/);
});

test("with one request under way, latency is also told as what the tunnel adds", () => {
  const slow = { latency: { p50Us: 160, p99Us: 290 } };
  const all = [measured("innermesh", [cost(1, 1, slow)]), measured("none", [cost(0, 0)])];
  assert.equal(valueOf(all, "latency added, p50"), 60);
  assert.equal(valueOf(all, "latency added, p99"), 90);
});

test("what has no tunnel costs no processor and no memory", () => {
  assert.deepEqual(
    tunnelRows([measured("none", [cost(0, 0)])]).map(({ metric }) => metric),
    ["requests", "latency, p50", "latency, p99"],
  );
});

test("a volume is told by the GB, and memory of sessions as what they added", () => {
  const stream: TunnelCase = { ...requests, plan: { kind: "up" }, unit: "GB" };
  const bulk = [measured("innermesh", [cost(500, 800, { units: 1, latency: undefined })], stream)];
  assert.equal(valueOf(bulk, "CPU for one GB, client's node"), 500);
  assert.equal(valueOf(bulk, "volume"), 0.5);
  const sessions: TunnelCase = { ...requests, plan: { kind: "sessions" }, unit: "session" };
  const held = cost(1, 1, { addedMiB: { client: 60, server: 70 } });
  const all = [measured("innermesh", [held], sessions)];
  assert.equal(valueOf(all, "memory that 1,000 sessions added, server's node"), 70);
});
