// What a request through the L7 lane costs with HTTP/2 without TLS on both sides, beside HAProxy,
// nginx and Envoy.

import type { BenchContext, BenchResult } from "../scripts/bench-report.ts";
import type { ProxyCase } from "./proxy-measure.ts";
import { runProxySuite } from "./proxy-suite.ts";

export const name = "proxy-http2";

const CASES: readonly ProxyCase[] = [
  {
    title: "gRPC unary, 1 connection × 1 stream",
    service: "grpc",
    plan: { kind: "h2load", connections: 1, streams: 1, grpc: true },
    unit: "request",
    limits: [],
  },
  {
    title: "HTTP/2, 8 connections × 32 streams",
    service: "http2",
    plan: { kind: "h2load", connections: 8, streams: 32 },
    unit: "request",
    limits: [{ peer: "envoy", atMost: 1 }],
  },
  {
    title: "gRPC unary, 8 connections × 32 streams",
    service: "grpc",
    plan: { kind: "h2load", connections: 8, streams: 32, grpc: true },
    unit: "request",
    limits: [{ peer: "envoy", atMost: 1 }],
  },
];

export function run(context: BenchContext): Promise<BenchResult> {
  return runProxySuite(CASES, context);
}
