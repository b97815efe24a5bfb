import assert from "node:assert/strict";
import { test } from "node:test";
import { Registry } from "@prometheus-io/client";
import { EDGE_COLUMNS, OTHER, type Result, type TelemetryMessage } from "../model/edge.ts";
import { EdgeTable } from "../proxy/edge-table.ts";
import { exposeProxyStats } from "./proxy-metrics.ts";
import { countOf, inFlightOf, ProxyStats } from "./proxy-stats.ts";

const WEB = "default/web:80";

function messageOf(table: EdgeTable, nowMs: number): TelemetryMessage {
  return { edges: table.drain(nowMs), ejected: [], accessLogLost: 0 };
}

function serve(table: EdgeTable, result: Result, latencyMs = 1, endpoint = "10.0.0.1:80"): void {
  const slot = table.slot("shop", WEB, "", endpoint, 0);
  table.started(slot);
  table.finished(slot, result, latencyMs);
}

test("workers add up, by endpoint and by route", () => {
  const stats = new ProxyStats();
  const tables = [new EdgeTable("http"), new EdgeTable("http")];
  tables.forEach((table, worker) => {
    for (let i = 1; i <= 100; i++) serve(table, "2xx", i * (worker + 1), `10.0.0.${i % 2}:80`);
    stats.add(worker, messageOf(table, 0), 0);
  });
  assert.deepEqual(
    stats.edges().map((edge) => countOf(edge, "2xx")),
    [100, 100],
  );
  const [route, ...more] = stats.routes();
  assert.ok(route !== undefined && more.length === 0);
  assert.equal(countOf(route, "2xx"), 200);
  assert.equal(countOf(route, "latencyMs"), 5_050 * 3);
  assert.equal(
    route.latencies.reduce((sum, count) => sum + count),
    200,
  );
});

test("when a worker dies, what is under way there is gone and no counter goes back", () => {
  const stats = new ProxyStats();
  let before = 0;
  for (let worker = 0; worker < 20; worker++) {
    const table = new EdgeTable("http");
    for (let i = 0; i < 10; i++) serve(table, "5xx");
    table.started(table.slot("shop", WEB, "", "10.0.0.1:80", 0));
    stats.add(worker, messageOf(table, worker), worker);
    const [edge] = stats.edges();
    assert.ok(edge !== undefined);
    assert.equal(inFlightOf(edge), 1);
    assert.equal(countOf(edge, "5xx"), before + 10);
    before += 10;
    stats.removeWorker(worker);
    assert.equal(inFlightOf(edge), 0);
    assert.equal(countOf(edge, "5xx"), before);
  }
});

test("numbers that make no sense change nothing", () => {
  const stats = new ProxyStats();
  const names = { layer: "http", source: "a", service: WEB, route: "", endpoint: "" } as const;
  const counts = [0, -5, 1, Number.NaN, 999, 1, -1, 1, 0.5, 1, 2];
  const edges = [{ ...names, inFlight: Number.NaN, counts, latencies: counts }];
  stats.add(1, { edges, ejected: [], accessLogLost: -1 }, 0);
  const [edge] = stats.edges();
  assert.ok(edge !== undefined);
  assert.ok(edge.counts.every((count) => count === 0));
  assert.ok(edge.latencies.every((count) => count === 0));
  assert.equal(edge.counts.length, EDGE_COLUMNS.length);
});

test("edges are bounded: idle ones make room, else all further ones count as one", () => {
  const stats = new ProxyStats({ mostEdges: 10, mostRoutes: 10 });
  const table = new EdgeTable("http");
  for (let i = 0; i < 100; i++) serve(table, "2xx", 1, `10.0.0.${i}:80`);
  stats.add(1, messageOf(table, 0), 0);
  assert.equal(stats.edges().length, 11);
  const other = stats.edges().find(({ endpoint }) => endpoint === OTHER);
  assert.equal(other && countOf(other, "2xx"), 90);
  serve(table, "2xx", 1, "10.0.1.1:80");
  stats.add(1, messageOf(table, 600_000), 600_000);
  assert.deepEqual(
    stats.edges().map(({ endpoint }) => endpoint),
    [OTHER, "10.0.1.1:80"],
  );
});

test("a flood of hosts and paths adds no series (F51)", async () => {
  const page = new Registry();
  const stats = new ProxyStats();
  exposeProxyStats(page, stats);
  const table = new EdgeTable("http");
  // Nothing a client sends is an argument of `slot`: one request or 100,000 are the same edge.
  serve(table, "4xx", 0.3);
  stats.add(1, messageOf(table, 1), 1);
  const few = (await page.metrics()).split("\n").length;
  for (let i = 0; i < 100_000; i++) serve(table, "4xx", 0.3);
  stats.add(1, messageOf(table, 2), 2);
  const text = await page.metrics();
  assert.equal(text.split("\n").length, few);
  const labels = 'source_namespace="shop",service="default/web",port="80",route=""';
  assert.ok(text.includes(`innermesh_requests_total{${labels},result="4xx"} 100001\n`));
});

test("the page shows each layer's own series, histograms in the bounds of the catalogue", async () => {
  const page = new Registry();
  const stats = new ProxyStats();
  exposeProxyStats(page, stats);
  const [http, tcp] = [new EdgeTable("http"), new EdgeTable("tcp")];
  for (const latencyMs of [0.5, 0.6, 2, 30_000]) serve(http, "2xx", latencyMs);
  const slot = tcp.slot("(host)", "default/db:5432", "", "10.0.0.9:5432", 0);
  tcp.started(slot);
  tcp.transferred(slot, 10, 20);
  tcp.ejected(slot);
  stats.add(
    1,
    {
      edges: [...http.drain(0), ...tcp.drain(0)],
      ejected: [["default/db:5432", "10.0.0.9:5432"]],
      accessLogLost: 3,
    },
    0,
  );
  const lines = (await page.metrics()).split("\n");
  const web = 'source_namespace="shop",service="default/web",port="80",route=""';
  const db = 'source_namespace="(host)",service="default/db",port="5432",route=""';
  const duration = "innermesh_request_duration_seconds";
  for (const line of [
    `# TYPE ${duration} histogram`,
    `${duration}_bucket{le="0.0005",${web}} 1`,
    `${duration}_bucket{le="0.001",${web}} 2`,
    `${duration}_bucket{le="0.002",${web}} 3`,
    `${duration}_bucket{le="16.384",${web}} 3`,
    `${duration}_bucket{le="+Inf",${web}} 4`,
    `${duration}_sum{${web}} 30.0031`,
    `${duration}_count{${web}} 4`,
    `innermesh_tcp_connections_open{${db}} 1`,
    `innermesh_tcp_received_bytes_total{${db}} 10`,
    `innermesh_tcp_sent_bytes_total{${db}} 20`,
    'innermesh_endpoint_ejections_total{service="default/db",port="5432"} 1',
    'innermesh_endpoints_ejected{service="default/db",port="5432"} 1',
    "innermesh_access_log_lost_lines_total 3",
  ]) {
    assert.ok(lines.includes(line), line);
  }
  assert.ok(
    !lines.some((line) => line.startsWith("innermesh_requests_total{") && line.includes("db")),
  );
});
