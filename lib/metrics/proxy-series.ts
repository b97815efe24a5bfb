// The series of the proxy lanes: golden signals of each edge. Labels are names from the plan, never
// what a client sent: a flood of hosts or paths adds no series. Endpoints are no label, because
// edges × endpoints × buckets outgrow a scrape; `innermesh top` shows them. A port with rules about
// requests is an edge of its own, named for the pod's ServiceAccount.

import { counter, exponentialBuckets, gauge, histogram } from "./series.ts";

const EDGE = ["source_namespace", "service", "port", "route"] as const;
const RESULT = [...EDGE, "result"] as const;
const CARRIER = [...EDGE, "carrier"] as const;
const PORT = ["service", "port"] as const;

/** 0.5 ms to 16.4 s, all of them bounds of the buckets that workers count in. */
const LATENCY_BUCKETS = exponentialBuckets(0.0005, 2, 16);

export const proxySeries = {
  workers: gauge("innermesh_proxy_workers", {
    labels: [],
    help: "Proxy workers that take connections.",
  }),
  requests: counter("innermesh_requests_total", {
    labels: RESULT,
    help:
      "HTTP and gRPC requests that ended, by status class (gRPC by what its status means) or by " +
      "why the proxy ended them. Where rules of policies are about requests, what reaches the " +
      "pod's own port is counted at its node, `service` being `ServiceAccount namespace/name`; " +
      "what came through a proxied Service is counted under that, too.",
  }),
  requestDuration: histogram("innermesh_request_duration_seconds", {
    labels: EDGE,
    buckets: LATENCY_BUCKETS,
    help: "Time from the head of the request to the head of the response.",
  }),
  requestsInFlight: gauge("innermesh_requests_in_flight", {
    labels: EDGE,
    help: "Requests under way.",
  }),
  requestsProven: counter("innermesh_requests_proven_total", {
    labels: CARRIER,
    help:
      "Requests on connections that prove who is at both ends: by a tunnel's certificates " +
      "(tunnel), or since both pods are of this node (node).",
  }),
  requestRetries: counter("innermesh_request_retries_total", {
    labels: EDGE,
    help: "Attempts beside the first of a request.",
  }),
  requestBytes: counter("innermesh_request_bytes_total", {
    labels: EDGE,
    help: "Bytes of request bodies.",
  }),
  responseBytes: counter("innermesh_response_bytes_total", {
    labels: EDGE,
    help: "Bytes of response bodies.",
  }),
  connections: counter("innermesh_tcp_connections_total", {
    labels: RESULT,
    help: "Client connections that ended, by how: ok, or why the proxy ended them.",
  }),
  connectionsProven: counter("innermesh_tcp_connections_proven_total", {
    labels: CARRIER,
    help: "The same of relayed connections.",
  }),
  connectDuration: histogram("innermesh_tcp_connect_duration_seconds", {
    labels: EDGE,
    buckets: LATENCY_BUCKETS,
    help: "Time to connect to an endpoint for a relayed connection.",
  }),
  connectionsOpen: gauge("innermesh_tcp_connections_open", {
    labels: EDGE,
    help: "Client connections open now.",
  }),
  receivedBytes: counter("innermesh_tcp_received_bytes_total", {
    labels: EDGE,
    help: "Bytes received from clients of relayed connections.",
  }),
  sentBytes: counter("innermesh_tcp_sent_bytes_total", {
    labels: EDGE,
    help: "Bytes sent to clients of relayed connections.",
  }),
  ejections: counter("innermesh_endpoint_ejections_total", {
    labels: PORT,
    help: "Times that an endpoint was left out for failing.",
  }),
  ejectedEndpoints: gauge("innermesh_endpoints_ejected", {
    labels: PORT,
    help: "Endpoints left out now, by at least one worker.",
  }),
  accessLogLost: counter("innermesh_access_log_lost_lines_total", {
    labels: [],
    help: "Access log lines dropped because they were not taken fast enough.",
  }),
};
