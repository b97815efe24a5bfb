// Puts the sums of the proxy workers on the page that Prometheus reads, when it reads it.

import type { Registry } from "@prometheus-io/client";
import {
  collectCounter,
  collectGauge,
  collectHistogram,
  type HistogramSample,
  type Sample,
} from "../../lib/metrics/collected-series.ts";
import { proxySeries as series } from "../../lib/metrics/proxy-series.ts";
import type { CounterSeries, GaugeSeries, HistogramSeries } from "../../lib/metrics/series.ts";
import { type EdgeLayer, type EdgeSum, RESULTS } from "../model/edge.ts";
import { BUCKET_COUNT, bucketBoundMs } from "../model/latency-buckets.ts";
import { countOf, type EdgeTotals, inFlightOf, type ProxyStats } from "./proxy-stats.ts";

type EdgeLabel = "source_namespace" | "service" | "port" | "route";
type EdgeLabels = Readonly<Record<EdgeLabel, string>>;
type PortLabels = Readonly<Record<"service" | "port", string>>;

/** @param page the registry of the node's process, without these series */
export function exposeProxyStats(page: Registry, stats: ProxyStats): void {
  exposeLayer(page, stats, "http", {
    results: series.requests,
    proven: series.requestsProven,
    duration: series.requestDuration,
    inFlight: series.requestsInFlight,
    sums: [
      [series.requestRetries, "retries"],
      [series.requestBytes, "receivedBytes"],
      [series.responseBytes, "sentBytes"],
    ],
  });
  exposeLayer(page, stats, "tcp", {
    results: series.connections,
    proven: series.connectionsProven,
    duration: series.connectDuration,
    inFlight: series.connectionsOpen,
    sums: [
      [series.receivedBytes, "receivedBytes"],
      [series.sentBytes, "sentBytes"],
    ],
  });
  collectCounter(page, series.ejections, () => ejections(stats));
  collectGauge(page, series.ejectedEndpoints, () =>
    sumByPort(stats.ejected().map(({ service }) => [service, 1])),
  );
  collectCounter(page, series.accessLogLost, () => [{ labels: {}, value: stats.accessLogLost() }]);
}

interface LayerSeries {
  readonly results: CounterSeries<EdgeLabel | "result">;
  readonly proven: CounterSeries<EdgeLabel | "carrier">;
  readonly duration: HistogramSeries<EdgeLabel>;
  readonly inFlight: GaugeSeries<EdgeLabel>;
  readonly sums: readonly (readonly [CounterSeries<EdgeLabel>, EdgeSum])[];
}

function exposeLayer(
  page: Registry,
  stats: ProxyStats,
  layer: EdgeLayer,
  { results, proven, duration, inFlight, sums }: LayerSeries,
): void {
  const edges = (): readonly EdgeTotals[] => stats.routes().filter((edge) => edge.layer === layer);
  collectCounter(page, results, () => edges().flatMap(resultSamples));
  collectCounter(page, proven, () => edges().flatMap(provenSamples));
  collectHistogram(page, duration, () =>
    edges().map((edge) => histogramSample(edge, duration.buckets)),
  );
  collectGauge(page, inFlight, () =>
    edges().map((edge) => ({ labels: labelsOf(edge), value: inFlightOf(edge) })),
  );
  for (const [sumSeries, column] of sums) {
    collectCounter(page, sumSeries, () =>
      edges().map((edge) => ({ labels: labelsOf(edge), value: countOf(edge, column) })),
    );
  }
}

/** Only those that happened: most edges know two or three of them. */
function resultSamples(edge: EdgeTotals): readonly Sample<EdgeLabel | "result">[] {
  const labels = labelsOf(edge);
  return RESULTS.map((result, i) => ({
    labels: { ...labels, result },
    value: edge.counts[i] ?? 0,
  })).filter(({ value }) => value > 0);
}

function provenSamples(edge: EdgeTotals): readonly Sample<EdgeLabel | "carrier">[] {
  const labels = labelsOf(edge);
  const samples = [
    { labels: { ...labels, carrier: "tunnel" }, value: countOf(edge, "tunnelled") },
    { labels: { ...labels, carrier: "node" }, value: countOf(edge, "inNode") },
  ];
  return samples.filter(({ value }) => value > 0);
}

function histogramSample(edge: EdgeTotals, bounds: readonly number[]): HistogramSample<EdgeLabel> {
  const cumulative: number[] = [];
  let [bucket, count] = [0, 0];
  for (const bound of bounds) {
    for (; bucket < BUCKET_COUNT && bucketBoundMs(bucket) <= bound * 1_000; bucket++) {
      count += edge.latencies[bucket] ?? 0;
    }
    cumulative.push(count);
  }
  for (; bucket < BUCKET_COUNT; bucket++) count += edge.latencies[bucket] ?? 0;
  return { labels: labelsOf(edge), cumulative, count, sum: countOf(edge, "latencyMs") / 1_000 };
}

function ejections(stats: ProxyStats): readonly Sample<"service" | "port">[] {
  const counts = stats.routes().map((edge) => [edge.service, countOf(edge, "ejections")] as const);
  return sumByPort(counts.filter(([, count]) => count > 0));
}

function sumByPort(
  counts: readonly (readonly [service: string, count: number])[],
): readonly Sample<"service" | "port">[] {
  const sums = new Map<string, number>();
  for (const [service, count] of counts) sums.set(service, (sums.get(service) ?? 0) + count);
  return [...sums].map(([service, value]) => ({ labels: portLabels(service), value }));
}

function labelsOf({ source, service, route }: EdgeTotals): EdgeLabels {
  return { source_namespace: source, ...portLabels(service), route };
}

/** `namespace/name:port` in two. */
function portLabels(service: string): PortLabels {
  const colon = service.lastIndexOf(":");
  if (colon < 0) return { service, port: "" };
  return { service: service.slice(0, colon), port: service.slice(colon + 1) };
}
