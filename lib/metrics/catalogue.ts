// Every series this node exports, in one place. kube-proxy's names keep kube-proxy's meaning, so
// that its dashboards and alerts go on working; ours begin with innermesh_.

import { identitySeries } from "./identity-series.ts";
import { policySeries } from "./policy-series.ts";
import { proxySeries } from "./proxy-series.ts";
import {
  counter,
  exponentialBuckets,
  formatSeriesTable,
  gauge,
  histogram,
  linearBuckets,
  type Series,
} from "./series.ts";

const FAMILY = ["ip_family"] as const;
const NONE: readonly never[] = [];

/** 1 ms to 16.4 s, as kube-proxy's. */
const SYNC_BUCKETS = exponentialBuckets(0.001, 2, 15);
const PROGRAMMING_BUCKETS = [
  ...linearBuckets(0.25, 0.25, 2),
  ...linearBuckets(1, 1, 59),
  ...linearBuckets(60, 5, 12),
  ...linearBuckets(120, 30, 7),
];

/** Same names, labels and meaning as kube-proxy 1.36 in nftables mode. */
export const kubeProxySeries = {
  syncDuration: histogram("kubeproxy_sync_proxy_rules_duration_seconds", {
    labels: FAMILY,
    buckets: SYNC_BUCKETS,
    help: "Time of one sync, full or partial.",
  }),
  fullSyncDuration: histogram("kubeproxy_sync_full_proxy_rules_duration_seconds", {
    labels: FAMILY,
    buckets: SYNC_BUCKETS,
    help: "Time of one sync that looked at everything.",
  }),
  partialSyncDuration: histogram("kubeproxy_sync_partial_proxy_rules_duration_seconds", {
    labels: FAMILY,
    buckets: SYNC_BUCKETS,
    help: "Time of one sync that looked at changes only.",
  }),
  networkProgrammingDuration: histogram("kubeproxy_network_programming_duration_seconds", {
    labels: FAMILY,
    buckets: PROGRAMMING_BUCKETS,
    help: "Time from the change of an endpoint, by the control plane's clock, to its rules.",
  }),
  lastSyncTime: gauge("kubeproxy_sync_proxy_rules_last_timestamp_seconds", {
    labels: FAMILY,
    help: "When a sync last succeeded, seconds since 1970.",
  }),
  lastQueuedTime: gauge("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds", {
    labels: FAMILY,
    help: "When a sync was last asked for, seconds since 1970.",
  }),
  endpointChangesPending: gauge("kubeproxy_sync_proxy_rules_endpoint_changes_pending", {
    labels: NONE,
    help: "Endpoint changes that are not programmed yet.",
  }),
  endpointChanges: counter("kubeproxy_sync_proxy_rules_endpoint_changes_total", {
    labels: NONE,
    help: "Endpoint changes seen.",
  }),
  serviceChangesPending: gauge("kubeproxy_sync_proxy_rules_service_changes_pending", {
    labels: NONE,
    help: "Service changes that are not programmed yet.",
  }),
  serviceChanges: counter("kubeproxy_sync_proxy_rules_service_changes_total", {
    labels: NONE,
    help: "Service changes seen.",
  }),
  noLocalEndpoints: gauge("kubeproxy_sync_proxy_rules_no_local_endpoints_total", {
    labels: ["ip_family", "traffic_policy"],
    help: "Service ports of policy Local that have endpoints, but none on this node.",
  }),
  nftSyncFailures: counter("kubeproxy_sync_proxy_rules_nftables_sync_failures_total", {
    labels: FAMILY,
    help: "Syncs that failed; the rules of before stay.",
  }),
  nftCleanupFailures: counter("kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total", {
    labels: FAMILY,
    help: "Removals of rules no longer needed that failed.",
  }),
  conntrackSyncDuration: histogram("kubeproxy_conntrack_reconciler_sync_duration_seconds", {
    labels: FAMILY,
    buckets: SYNC_BUCKETS,
    help: "Time of one conntrack clean-up.",
  }),
  conntrackDeleted: counter("kubeproxy_conntrack_reconciler_deleted_entries_total", {
    labels: FAMILY,
    help: "Stale UDP flows deleted from conntrack.",
  }),
  healthzAnswers: counter("kubeproxy_proxy_healthz_total", {
    labels: ["code"],
    help: "Answers of /healthz by HTTP status.",
  }),
  livezAnswers: counter("kubeproxy_proxy_livez_total", {
    labels: ["code"],
    help: "Answers of /livez by HTTP status.",
  }),
  clientRequests: counter("rest_client_requests_total", {
    labels: ["code", "method", "host"],
    help: "Requests to the API server by HTTP status.",
  }),
  clientRequestDuration: histogram("rest_client_request_duration_seconds", {
    labels: ["verb", "host"],
    buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60],
    help: "Time to the response headers of a request to the API server.",
  }),
};

/** What kube-proxy has no name for. */
export const ownSeries = {
  buildInfo: gauge("innermesh_build_info", {
    labels: ["version", "node_version"],
    help: "Always 1; the labels say what runs.",
  }),
  sourceSynced: gauge("innermesh_source_synced", {
    labels: NONE,
    help: "1 once every kind has been listed whole; no rule is written before.",
  }),
  sourceEventTime: gauge("innermesh_source_last_event_timestamp_seconds", {
    labels: ["kind"],
    help: "When the source last gave a sign of life for a kind, seconds since 1970.",
  }),
  sourceRelists: counter("innermesh_source_relists_total", {
    labels: ["kind", "reason"],
    help: "Lists read anew because a watch could not go on.",
  }),
  objects: gauge("innermesh_objects", {
    labels: ["kind"],
    help: "Objects in the snapshot.",
  }),
  objectProblems: gauge("innermesh_object_problems", {
    labels: NONE,
    help: "Objects or files with something in them that could not be used.",
  }),
  nftOperations: counter("innermesh_nft_operations_total", {
    labels: FAMILY,
    help: "Elements, rules, chains and sets added or deleted.",
  }),
  nftSentBytes: counter("innermesh_nft_sent_bytes_total", {
    labels: FAMILY,
    help: "Bytes of netlink batches sent to the kernel.",
  }),
  nftCommitDuration: histogram("innermesh_nft_commit_duration_seconds", {
    labels: FAMILY,
    buckets: exponentialBuckets(0.0001, 2, 16),
    help: "Time the kernel took for one batch.",
  }),
  nftElements: gauge("innermesh_nft_elements", {
    labels: FAMILY,
    help: "Elements that our table should hold.",
  }),
  audits: counter("innermesh_audits_total", {
    labels: ["ip_family", "result"],
    help: "Comparisons of the kernel with the plan: clean, repaired or failed.",
  }),
  conntrackEntries: gauge("innermesh_conntrack_entries", {
    labels: NONE,
    help: "Tracked connections in this network namespace.",
  }),
  conntrackLimit: gauge("innermesh_conntrack_limit", {
    labels: NONE,
    help: "Most connections the kernel tracks; new ones are dropped beyond.",
  }),
  serviceHealthListeners: gauge("innermesh_service_health_listeners", {
    labels: NONE,
    help: "Open sockets of Services' health check ports.",
  }),
  eventsDropped: counter("innermesh_events_dropped_total", {
    labels: ["reason"],
    help: "Kubernetes Events not written: repeated, over the rate limit, queue full, or refused.",
  }),
};

/** What /metrics/slis serves, as every Kubernetes component does. */
export const healthSeries = {
  healthcheck: gauge("kubernetes_healthcheck", {
    labels: ["name", "type"],
    help: "Result of the last health check: 1 is good.",
  }),
  healthchecks: counter("kubernetes_healthchecks_total", {
    labels: ["name", "type", "status"],
    help: "Health checks by result.",
  }),
};

const groups: readonly { readonly title: string; readonly series: readonly Series[] }[] = [
  { title: "kube-proxy's series", series: Object.values(kubeProxySeries) },
  { title: "Innermesh's own", series: Object.values(ownSeries) },
  { title: "Proxy lanes", series: Object.values(proxySeries) },
  { title: "Identities and tunnels", series: Object.values(identitySeries) },
  { title: "Policies", series: Object.values(policySeries) },
  { title: "On /metrics/slis", series: Object.values(healthSeries) },
];

/** Markdown: every series of ours, under headings. */
export function formatMetricsTable(): string {
  return groups
    .map(({ title, series }) => `## ${title}\n\n${formatSeriesTable(series)}`)
    .join("\n");
}
