// What the L4 lane costs, beside HAProxy, nginx and Envoy that do not look into the bytes either:
// for a request on a kept connection, for a connection, and for a long stream.

import type { BenchContext, BenchResult } from "../scripts/bench-report.ts";
import { STREAM_PATH } from "./proxy-backends.ts";
import type { ProxyCase } from "./proxy-measure.ts";
import { runProxySuite } from "./proxy-suite.ts";

export const name = "proxy-tcp";

const CASES: readonly ProxyCase[] = [
  {
    title: "TCP, a request and its answer, 1 connection",
    service: "tcp",
    plan: { kind: "wrk", connections: 1 },
    unit: "request",
    limits: [],
  },
  {
    title: "TCP, a request and its answer, 64 connections",
    service: "tcp",
    plan: { kind: "wrk", connections: 64 },
    unit: "request",
    limits: [{ peer: "haproxy", atMost: 1.5 }],
  },
  {
    title: "TCP, new connections, 64 at a time",
    service: "tcp",
    plan: { kind: "wrk", connections: 64, reconnect: true },
    unit: "connection",
    limits: [{ peer: "haproxy", atMost: 2 }],
  },
  {
    title: "TCP, one stream",
    service: "tcp",
    plan: { kind: "wrk", connections: 1, path: STREAM_PATH },
    unit: "GB",
    limits: [],
  },
];

export function run(context: BenchContext): Promise<BenchResult> {
  return runProxySuite(CASES, context);
}
