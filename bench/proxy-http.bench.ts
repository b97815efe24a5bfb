// What a request through the L7 lane costs with HTTP/1.1 and WebSocket, beside HAProxy, nginx and
// Envoy.

import type { BenchContext, BenchResult } from "../scripts/bench-report.ts";
import { BODY_PATH } from "./proxy-backends.ts";
import type { ProxyCase } from "./proxy-measure.ts";
import { runProxySuite } from "./proxy-suite.ts";

export const name = "proxy-http";

const CASES: readonly ProxyCase[] = [
  keepAlive("1 connection", 1),
  {
    ...keepAlive("64 connections", 64),
    limits: [
      { peer: "haproxy", atMost: 1.6 },
      { peer: "envoy", atMost: 0.75 },
    ],
  },
  keepAlive("1,000 connections", 1_000),
  {
    title: "HTTP/1.1, a connection for each request, 64 at a time",
    service: "http",
    plan: { kind: "wrk", connections: 64, reconnect: true },
    unit: "connection",
    limits: [],
  },
  {
    title: "HTTP/1.1, bodies of 1 MiB, 16 connections",
    service: "http",
    plan: { kind: "wrk", connections: 16, path: BODY_PATH },
    unit: "request",
    limits: [],
  },
  {
    title: "WebSocket echo of 64 bytes, 64 connections",
    service: "websocket",
    plan: { kind: "websocket", connections: 64 },
    unit: "message",
    limits: [],
  },
];

export function run(context: BenchContext): Promise<BenchResult> {
  return runProxySuite(CASES, context);
}

function keepAlive(size: string, connections: number): ProxyCase {
  return {
    title: `HTTP/1.1 keep-alive, ${size}`,
    service: "http",
    plan: { kind: "wrk", connections },
    unit: "request",
    limits: [],
  };
}
