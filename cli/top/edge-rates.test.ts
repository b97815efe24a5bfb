import assert from "node:assert/strict";
import { test } from "node:test";
import type { TopAnswer, TopEdge } from "../../service-proxy/model/admin-protocol.ts";
import { EDGE_COLUMNS } from "../../service-proxy/model/edge.ts";
import { bucketOf } from "../../service-proxy/model/latency-buckets.ts";
import { edgeRates, formatEdgeRates } from "./edge-rates.ts";

function edge(
  counts: Readonly<Record<string, number>>,
  { endpoint = "10.0.0.1:80", inFlight = 0, latencies = [] as readonly number[] } = {},
): TopEdge {
  return {
    layer: "http",
    source: "shop",
    service: "default/web:80",
    route: "",
    endpoint,
    inFlight,
    counts: EDGE_COLUMNS.map((column) => counts[column] ?? 0),
    latencies,
  };
}

function answer(atMs: number, edges: readonly TopEdge[]): TopAnswer {
  const ejected = [{ service: "default/web:80", endpoint: "10.0.0.2:80" }];
  return { kind: "top", atMs, columns: EDGE_COLUMNS, edges, ejected };
}

test("rates, success and quantiles are of the time between two answers", () => {
  const before = answer(0, [edge({ "2xx": 1_000 }, { latencies: [bucketOf(900), 1_000] })]);
  const counts = { "2xx": 1_180, "4xx": 10, "5xx": 6, timeout: 4, retries: 2, sentBytes: 4e6 };
  const latencies = [bucketOf(900), 1_000, bucketOf(2), 190, bucketOf(64), 10];
  const after = answer(2_000, [edge(counts, { inFlight: 3, latencies })]);
  const [row, ...more] = edgeRates(before, after, false);
  assert.ok(row !== undefined && more.length === 0);
  assert.deepEqual([row.rate, row.success, row.retryRate], [100, 0.95, 1]);
  assert.deepEqual([row.sentBytesRate, row.inFlight, row.ejected], [2e6, 3, 1]);
  assert.ok(Math.abs((row.p50Ms ?? 0) - 2) < 0.3 && Math.abs((row.p99Ms ?? 0) - 64) < 8);
  const [, line] = formatEdgeRates([row], false).split("\n");
  assert.match(
    line ?? "",
    /^shop +default\/web:80 +- +http +100\.0 +95\.0% .* 2\.0MB +1\.0 +3 +1$/,
  );
});

test("endpoints are one row, or a row each", () => {
  const edges = [1, 2].map((i) => edge({ "2xx": 10 * i }, { endpoint: `10.0.0.${i}:80` }));
  const [before, after] = [answer(0, []), answer(1_000, edges)];
  assert.deepEqual(
    edgeRates(before, after, false).map(({ rate }) => rate),
    [30],
  );
  assert.deepEqual(
    edgeRates(before, after, true).map(({ endpoint, rate, ejected }) => [endpoint, rate, ejected]),
    [
      ["10.0.0.2:80", 20, 1],
      ["10.0.0.1:80", 10, 0],
    ],
  );
});

test("a quiet edge is not shown; one that began anew never has negative rates", () => {
  const quiet = edge({ "2xx": 10 });
  assert.deepEqual(edgeRates(answer(0, [quiet]), answer(1_000, [quiet]), false), []);
  const [row] = edgeRates(answer(0, [quiet]), answer(1_000, [edge({ "5xx": 2 })]), false);
  assert.deepEqual([row?.rate, row?.success], [2, 0]);
});
