// The recorders of one controller process, and the page Prometheus reads them from.

import { collectDefaultMetrics, Registry } from "@prometheus-io/client";
import { controllerSeries as own, sharedSeries as shared } from "./controller-catalogue.ts";
import { makeCounter, makeGauge, makeHistogram } from "./recorder.ts";

export type ControllerMetrics = ReturnType<typeof makeControllerMetrics>;

/** A registry of its own with every series of the catalogue and process_* and nodejs_*. */
export function makeControllerMetrics() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return {
    leader: makeGauge(registry, own.leader),
    elections: makeCounter(registry, own.elections),
    queueDepth: makeGauge(registry, own.queueDepth),
    statuses: makeCounter(registry, own.statuses),
    planDuration: makeHistogram(registry, own.planDuration),
    buildInfo: makeGauge(registry, shared.buildInfo),
    sourceSynced: makeGauge(registry, shared.sourceSynced),
    sourceEventTime: makeGauge(registry, shared.sourceEventTime),
    sourceRelists: makeCounter(registry, shared.sourceRelists),
    objectProblems: makeGauge(registry, shared.objectProblems),
    clientRequests: makeCounter(registry, shared.clientRequests),
    clientRequestDuration: makeHistogram(registry, shared.clientRequestDuration),
    /** What /metrics serves. */
    page: registry,
  };
}
