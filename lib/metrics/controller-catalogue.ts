// Every series that the controller exports beside those of its source and its requests. Names that
// Kubernetes' own controllers have keep their meaning.

import { kubeProxySeries, ownSeries } from "./catalogue.ts";
import { counter, exponentialBuckets, formatSeriesTable, gauge, histogram } from "./series.ts";

const NAME = ["name"] as const;

export const controllerSeries = {
  leader: gauge("leader_election_master_status", {
    labels: NAME,
    help: "1 while this process holds the lease of that name.",
  }),
  elections: counter("innermesh_controller_elections_total", {
    labels: ["event"],
    help: "The lease was won (leading), lost, released, or could not be used (failed).",
  }),
  queueDepth: gauge("workqueue_depth", {
    labels: NAME,
    help: "Objects whose status waits to be looked at.",
  }),
  statuses: counter("innermesh_controller_statuses_total", {
    labels: ["kind", "result"],
    help:
      "Statuses looked at: written, unchanged, gone (deleted meanwhile), stale (the watch is " +
      "behind), conflict (read again), failed (tried again later).",
  }),
  planDuration: histogram("innermesh_controller_plan_duration_seconds", {
    labels: [],
    buckets: exponentialBuckets(0.001, 2, 14),
    help: "Time to judge all routes.",
  }),
};

/** The controller has these in common with the node agent. */
export const sharedSeries = {
  buildInfo: ownSeries.buildInfo,
  sourceSynced: ownSeries.sourceSynced,
  sourceEventTime: ownSeries.sourceEventTime,
  sourceRelists: ownSeries.sourceRelists,
  objectProblems: ownSeries.objectProblems,
  clientRequests: kubeProxySeries.clientRequests,
  clientRequestDuration: kubeProxySeries.clientRequestDuration,
};

/** Markdown: every series of the controller. */
export function formatControllerMetrics(): string {
  const all = [...Object.values(controllerSeries), ...Object.values(sharedSeries)];
  return formatSeriesTable(all);
}
