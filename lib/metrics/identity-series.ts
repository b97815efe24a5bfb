// The series of identities and tunnels. Labels are closed sets, and identities that have a pod on
// the node.

import { counter, exponentialBuckets, gauge, histogram } from "./series.ts";

const SIDE = ["side"] as const;
const SIDE_RESULT = ["side", "result"] as const;

export const identitySeries = {
  certificateExpiry: gauge("innermesh_certificate_expiry_timestamp_seconds", {
    labels: ["identity"],
    help: "Unix time when the certificate of an identity with a pod here ends; 0: it has none.",
  }),
  certificates: counter("innermesh_certificate_requests_total", {
    labels: ["result"],
    help: "Certificates asked for: issued, renewed, failed; and expired, without another in time.",
  }),
  certificateDuration: histogram("innermesh_certificate_request_duration_seconds", {
    labels: [],
    buckets: exponentialBuckets(0.001, 2, 14),
    help: "Time from asking for a certificate to having it checked.",
  }),
  workloads: gauge("innermesh_identity_workloads", {
    labels: ["mode"],
    help: "Addresses of enrolled pods of this node, by mode.",
  }),
  peers: gauge("innermesh_identity_peers", {
    labels: [],
    help: "Addresses of enrolled pods elsewhere that are reached by tunnel.",
  }),
  problems: gauge("innermesh_identity_problems", {
    labels: [],
    help: "Labels, pods and interfaces whose identities do not hold; the log names them.",
  }),
  dropped: counter("innermesh_identity_dropped_packets_total", {
    labels: ["reason"],
    help: "Packets dropped in the kernel: spoofed (a foreign sender), closed (a strict pod).",
  }),
  handshakes: counter("innermesh_tunnel_handshakes_total", {
    labels: SIDE_RESULT,
    help: "Sessions between pods that came to be (ok), or why not.",
  }),
  connections: counter("innermesh_tunnel_connections_total", {
    labels: SIDE_RESULT,
    help: "Connections between enrolled pods that ended: ok, denied, failed, cancelled.",
  }),
  sessions: gauge("innermesh_tunnel_sessions_open", {
    labels: SIDE,
    help: "Sessions between pods that are open now.",
  }),
  streams: gauge("innermesh_tunnel_connections_open", {
    labels: SIDE,
    help: "Connections in tunnels that are open now.",
  }),
  receivedBytes: counter("innermesh_tunnel_received_bytes_total", {
    labels: SIDE,
    help: "Bytes out of tunnels.",
  }),
  sentBytes: counter("innermesh_tunnel_sent_bytes_total", {
    labels: SIDE,
    help: "Bytes into tunnels.",
  }),
};
