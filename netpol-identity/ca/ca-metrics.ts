// What the CA counts and measures.

import type { Registry } from "@prometheus-io/client";
import { makeCounter, makeGauge, makeHistogram } from "../../lib/metrics/recorder.ts";
import { counter, exponentialBuckets, gauge, histogram } from "../../lib/metrics/series.ts";

export const caSeries = {
  issued: counter("innermesh_ca_certificates_issued_total", {
    labels: [],
    help: "Certificates signed for workloads.",
  }),
  refused: counter("innermesh_ca_requests_refused_total", {
    labels: ["reason"],
    help:
      "Requests that got no certificate: no-token, bad-token, not-allowed, unbound-token, " +
      "caller-gone, banned, bad-request, other-domain, no-pod, node-limit, failure-limit, busy, " +
      "not-ready.",
  }),
  duration: histogram("innermesh_ca_request_duration_seconds", {
    labels: [],
    buckets: exponentialBuckets(0.001, 2, 14),
    help: "Time to answer a request, refusals too.",
  }),
  expiry: gauge("innermesh_ca_certificate_expiry_seconds", {
    labels: ["certificate"],
    help: "Unix time when it ends: signer, server (of the CA's own port), root (the first to end).",
  }),
  roots: gauge("innermesh_ca_roots", {
    labels: [],
    help: "Roots in the trust bundle; more than one while they are rotated.",
  }),
  failures: counter("innermesh_ca_upkeep_failures_total", {
    labels: ["step"],
    help: "Upkeep that failed and is tried again: state, bundle, trust-bundle.",
  }),
};

export type CaMetrics = ReturnType<typeof makeCaMetrics>;

/** @param registry what /metrics serves */
export function makeCaMetrics(registry: Registry) {
  return {
    issued: makeCounter(registry, caSeries.issued),
    refused: makeCounter(registry, caSeries.refused),
    duration: makeHistogram(registry, caSeries.duration),
    expiry: makeGauge(registry, caSeries.expiry),
    roots: makeGauge(registry, caSeries.roots),
    failures: makeCounter(registry, caSeries.failures),
  };
}
