// What happened between two answers of a node, as the rows that `innermesh top` shows. Pure.

import type { TopAnswer, TopEdge } from "../../service-proxy/model/admin-protocol.ts";
import { EDGE_SUMS, type EdgeNames, type Result } from "../../service-proxy/model/edge.ts";
import { BUCKET_COUNT, quantileMs } from "../../service-proxy/model/latency-buckets.ts";
import { formatTable } from "../output.ts";

/** The golden signals of one edge; rates are per second. */
export interface EdgeRates extends EdgeNames {
  readonly layer: TopEdge["layer"];
  /** Requests, or connections, that ended. */
  readonly rate: number;
  /** Of those that ended, 0–1; null when none did. */
  readonly success: number | null;
  /** Null when nothing was measured. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly receivedBytesRate: number;
  readonly sentBytesRate: number;
  readonly retryRate: number;
  readonly inFlight: number;
  /** Endpoints of this Service that are left out now. */
  readonly ejected: number;
}

/** A 4xx is the client's doing, and so is giving up. */
const FAILED: ReadonlySet<string> = new Set<Result>([
  "5xx",
  "bad-route",
  "no-endpoints",
  "connect-failed",
  "timeout",
  "reset",
  "limit",
  "retry-budget",
]);
const SUMS: ReadonlySet<string> = new Set(EDGE_SUMS);

/** Sums of the edges that one row shows. */
interface RowSums extends EdgeNames {
  readonly layer: TopEdge["layer"];
  readonly counts: Map<string, number>;
  readonly latencies: Float64Array;
  inFlight: number;
}

/**
 * One row an edge, busiest first; edges on which nothing happens and nothing is under way are left
 * out.
 * @param byEndpoint a row for each endpoint, else one for all of them
 */
export function edgeRates(before: TopAnswer, after: TopAnswer, byEndpoint: boolean): EdgeRates[] {
  const [old, now] = [sumRows(before, byEndpoint), sumRows(after, byEndpoint)];
  const seconds = Math.max(1e-3, (after.atMs - before.atMs) / 1_000);
  return [...now]
    .map(([key, row]) => ratesOf(row, old.get(key), seconds, ejectedCount(after, row)))
    .filter(({ rate, inFlight, sentBytesRate }) => rate > 0 || inFlight > 0 || sentBytesRate > 0)
    .sort((a, b) => b.rate - a.rate || (a.service < b.service ? -1 : 1));
}

/** For people. */
export function formatEdgeRates(rows: readonly EdgeRates[], byEndpoint: boolean): string {
  const head = ["SOURCE", "SERVICE", "ROUTE", ...(byEndpoint ? ["ENDPOINT"] : [])];
  const signals = "LANE PER-S OK P50 P99 IN/S OUT/S RETRIES/S IN-FLIGHT EJECTED".split(" ");
  const lines = rows.map((row) => [
    row.source,
    row.service || "-",
    row.route || "-",
    ...(byEndpoint ? [row.endpoint || "-"] : []),
    row.layer,
    row.rate.toFixed(1),
    row.success === null ? "-" : `${(row.success * 100).toFixed(row.success === 1 ? 0 : 1)}%`,
    formatMs(row.p50Ms),
    formatMs(row.p99Ms),
    formatBytes(row.receivedBytesRate),
    formatBytes(row.sentBytesRate),
    row.retryRate.toFixed(1),
    String(row.inFlight),
    String(row.ejected),
  ]);
  return formatTable([[...head, ...signals], ...lines]);
}

function sumRows({ edges, columns }: TopAnswer, byEndpoint: boolean): Map<string, RowSums> {
  const rows = new Map<string, RowSums>();
  for (const edge of edges) {
    const { layer, source, service, route } = edge;
    const endpoint = byEndpoint ? edge.endpoint : "";
    const key = JSON.stringify([layer, source, service, route, endpoint]);
    const row = rows.get(key) ?? {
      layer,
      source,
      service,
      route,
      endpoint,
      counts: new Map<string, number>(),
      latencies: new Float64Array(BUCKET_COUNT),
      inFlight: 0,
    };
    rows.set(key, row);
    row.inFlight += edge.inFlight;
    columns.forEach((column, i) => {
      row.counts.set(column, (row.counts.get(column) ?? 0) + (edge.counts[i] ?? 0));
    });
    for (let i = 0; i + 1 < edge.latencies.length; i += 2) {
      const bucket = edge.latencies[i] ?? 0;
      row.latencies[bucket] = (row.latencies[bucket] ?? 0) + (edge.latencies[i + 1] ?? 0);
    }
  }
  return rows;
}

function ratesOf(
  now: RowSums,
  old: RowSums | undefined,
  seconds: number,
  ejected: number,
): EdgeRates {
  // An edge that was forgotten and came back begins at 0 again.
  const since = (column: string): number =>
    Math.max(0, (now.counts.get(column) ?? 0) - (old?.counts.get(column) ?? 0));
  const results = [...now.counts.keys()].filter((column) => !SUMS.has(column));
  const total = results.reduce((sum, column) => sum + since(column), 0);
  const failed = results
    .filter((column) => FAILED.has(column))
    .reduce((sum, column) => sum + since(column), 0);
  const latencies = now.latencies.map((count, i) => Math.max(0, count - (old?.latencies[i] ?? 0)));
  const { layer, source, service, route, endpoint, inFlight } = now;
  return {
    layer,
    source,
    service,
    route,
    endpoint,
    inFlight,
    ejected,
    rate: total / seconds,
    success: total === 0 ? null : 1 - failed / total,
    p50Ms: quantileMs(latencies, 0.5) ?? null,
    p99Ms: quantileMs(latencies, 0.99) ?? null,
    receivedBytesRate: since("receivedBytes") / seconds,
    sentBytesRate: since("sentBytes") / seconds,
    retryRate: since("retries") / seconds,
  };
}

function ejectedCount({ ejected }: TopAnswer, { service, endpoint }: EdgeNames): number {
  return ejected.filter(
    (one) => one.service === service && (endpoint === "" || one.endpoint === endpoint),
  ).length;
}

function formatMs(ms: number | null): string {
  if (ms === null) return "-";
  return ms < 10
    ? `${ms.toFixed(1)}ms`
    : ms < 10_000
      ? `${ms.toFixed(0)}ms`
      : `${(ms / 1_000).toFixed(0)}s`;
}

function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  const unit = Math.min(3, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return `${(bytes / 1_000 ** unit).toFixed(unit === 0 ? 0 : 1)}${units[unit]}`;
}
