// The recorders of one node process, and the two pages Prometheus reads them from.

import { collectDefaultMetrics, Registry } from "@prometheus-io/client";
import { healthSeries, kubeProxySeries as kube, ownSeries as own } from "./catalogue.ts";
import { makeCounter, makeGauge, makeHistogram } from "./recorder.ts";

export type NodeMetrics = ReturnType<typeof makeNodeMetrics>;

/** Sampling the event loop any finer would itself wake an idle process. */
const EVENT_LOOP_DELAY_SAMPLE_MS = 100;
const EVENT_LOOP_UTILIZATION_SAMPLE_MS = 5_000;

/** A registry of its own with every series of the catalogue and process_* and nodejs_*. */
export function makeNodeMetrics() {
  const registry = new Registry();
  collectDefaultMetrics({
    register: registry,
    eventLoopMonitoringPrecision: EVENT_LOOP_DELAY_SAMPLE_MS,
    eventLoopUtilizationTimeout: EVENT_LOOP_UTILIZATION_SAMPLE_MS,
  });
  return {
    ...makeKubeProxyRecorders(registry),
    ...makeOwnRecorders(registry),
    /** What /metrics serves. */
    page: registry,
  };
}

function makeKubeProxyRecorders(registry: Registry) {
  return {
    syncDuration: makeHistogram(registry, kube.syncDuration),
    fullSyncDuration: makeHistogram(registry, kube.fullSyncDuration),
    partialSyncDuration: makeHistogram(registry, kube.partialSyncDuration),
    networkProgrammingDuration: makeHistogram(registry, kube.networkProgrammingDuration),
    lastSyncTime: makeGauge(registry, kube.lastSyncTime),
    lastQueuedTime: makeGauge(registry, kube.lastQueuedTime),
    endpointChangesPending: makeGauge(registry, kube.endpointChangesPending),
    endpointChanges: makeCounter(registry, kube.endpointChanges),
    serviceChangesPending: makeGauge(registry, kube.serviceChangesPending),
    serviceChanges: makeCounter(registry, kube.serviceChanges),
    noLocalEndpoints: makeGauge(registry, kube.noLocalEndpoints),
    nftSyncFailures: makeCounter(registry, kube.nftSyncFailures),
    nftCleanupFailures: makeCounter(registry, kube.nftCleanupFailures),
    conntrackSyncDuration: makeHistogram(registry, kube.conntrackSyncDuration),
    conntrackDeleted: makeCounter(registry, kube.conntrackDeleted),
    healthzAnswers: makeCounter(registry, kube.healthzAnswers),
    livezAnswers: makeCounter(registry, kube.livezAnswers),
    clientRequests: makeCounter(registry, kube.clientRequests),
    clientRequestDuration: makeHistogram(registry, kube.clientRequestDuration),
  };
}

function makeOwnRecorders(registry: Registry) {
  return {
    buildInfo: makeGauge(registry, own.buildInfo),
    sourceSynced: makeGauge(registry, own.sourceSynced),
    sourceEventTime: makeGauge(registry, own.sourceEventTime),
    sourceRelists: makeCounter(registry, own.sourceRelists),
    objects: makeGauge(registry, own.objects),
    objectProblems: makeGauge(registry, own.objectProblems),
    nftOperations: makeCounter(registry, own.nftOperations),
    nftSentBytes: makeCounter(registry, own.nftSentBytes),
    nftCommitDuration: makeHistogram(registry, own.nftCommitDuration),
    nftElements: makeGauge(registry, own.nftElements),
    audits: makeCounter(registry, own.audits),
    conntrackEntries: makeGauge(registry, own.conntrackEntries),
    conntrackLimit: makeGauge(registry, own.conntrackLimit),
    serviceHealthListeners: makeGauge(registry, own.serviceHealthListeners),
    eventsDropped: makeCounter(registry, own.eventsDropped),
  };
}

/** The registry behind /metrics/slis: the metrics server's own health checks. */
export function makeHealthMetrics() {
  const registry = new Registry();
  const last = makeGauge(registry, healthSeries.healthcheck);
  const results = makeCounter(registry, healthSeries.healthchecks);
  return {
    page: registry,
    /** The ping check of /healthz passed: there is nothing in it that could fail. */
    pinged: (): void => {
      last.set(1, { name: "ping", type: "healthz" });
      results.add(1, { name: "ping", type: "healthz", status: "success" });
    },
  };
}
