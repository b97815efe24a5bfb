// What identities on the wire cost: connections between pods of two nodes through our tunnels,
// beside Envoy's, Node's own, and none.

import type { BenchContext, BenchResult } from "../scripts/bench-report.ts";
import { measureTunnels, type TunnelCase } from "./tunnel-measure.ts";
import { direct, innermesh, startTunnelPeers } from "./tunnel-peers.ts";
import { judgeTunnels, tunnelRows } from "./tunnel-report.ts";
import { startTunnelStage } from "./tunnel-stage.ts";

export const name = "tunnel";

const CASES: readonly TunnelCase[] = [
  {
    title: "requests, 1 connection",
    door: "pooled",
    plan: { kind: "wrk", connections: 1 },
    unit: "request",
    limits: [],
  },
  {
    title: "requests, 64 connections",
    door: "pooled",
    plan: { kind: "wrk", connections: 64 },
    unit: "request",
    limits: [
      { peer: "envoy", atMost: 1.1 },
      { peer: "node:http2", atMost: 0.95 },
    ],
  },
  {
    title: "new connections in a session, 64 at a time",
    door: "pooled",
    plan: { kind: "wrk", connections: 64, reconnect: true },
    unit: "connection",
    limits: [{ peer: "envoy", atMost: 1.25 }],
  },
  {
    title: "one stream down",
    door: "source",
    plan: { kind: "down" },
    unit: "GB",
    limits: [{ peer: "node:http2", atMost: 0.95 }],
  },
  {
    title: "one stream up",
    door: "sink",
    plan: { kind: "up" },
    unit: "GB",
    limits: [],
  },
  {
    title: "1,000 sessions, 32 at a time",
    door: "cold",
    plan: { kind: "sessions" },
    unit: "session",
    limits: [],
  },
];

const NOTE = `Client and server are pods of two nodes, which are network namespaces joined by veth
pairs; each node and its pod have one processor. A client's connection goes to the tunnel on its
node, there into a stream of HTTP/2 over mutual TLS 1.3, and from the server's node to the backend
as a connection again; "none" is the kernel's way between two pods without identities. All work with
one thread or worker, without access log; ours alone keeps the client's address. CPU is user and
system time of the one process that does this on a node, over what was completed: that can be
compared. Rates and latencies are those of a closed loop, in which client and backend take part of
the same two processors. Cases with a budget: the median of three rounds, in which the subjects take
turns; the others ran once. A session is a handshake of its own, a stream, and an answer to one
request. ztunnel, whose wire this is, comes as a container image only and is not among the peers.`;

/** @throws when a peer cannot be had: a comparison without its peer is no result */
export async function run(context: BenchContext): Promise<BenchResult> {
  await using stage = await startTunnelStage();
  const peers = await startTunnelPeers(stage);
  const subjects = [...peers, innermesh(stage), direct(stage)];
  const measurements = await measureTunnels(stage, { cases: CASES, subjects }, context);
  return { rows: tunnelRows(measurements), budgets: judgeTunnels(measurements), notes: [NOTE] };
}
