// Envoy's configuration as both ends of tunnels for a bench: TCP in, CONNECT over HTTP/2 over
// mutual TLS 1.3 between the two, TCP out. Pure.

import {
  authorityCluster,
  connectManager,
  oneEndpoint,
  socketAddress,
  tunnelTls,
  typed,
  upstreamHttp,
} from "../test/interop/envoy-parts.ts";
import { NO_LIMITS } from "./proxy-envoy-config.ts";
import type { Target } from "./rig.ts";
import type { TunnelPeerPlan } from "./tunnel-peer-plan.ts";
import { DOORS, type Side } from "./tunnel-subject.ts";

export function envoyTunnelConfig(side: Side, plan: TunnelPeerPlan): string {
  return JSON.stringify(side === "client" ? clientConfig(plan) : serverConfig(plan), undefined, 1);
}

function clientConfig(plan: TunnelPeerPlan): unknown {
  const listeners = DOORS.map((door) => {
    const { address, port } = plan.targets[door];
    const filter = typed("tcp", "filters.network.tcp_proxy.v3.TcpProxy", {
      stat_prefix: door,
      cluster: door,
      tunneling_config: { hostname: `${address}:${port}` },
    });
    return listenerOf(plan.doors[door], { filters: [filter] });
  });
  const clusters = DOORS.map((door) => ({
    ...oneEndpoint(door, plan.server),
    connect_timeout: "10s",
    circuit_breakers: NO_LIMITS,
    typed_extension_protocol_options: upstreamHttp(
      "http2_protocol_options",
      door === "cold" ? { common_http_protocol_options: { max_requests_per_connection: 1 } } : {},
    ),
    transport_socket: typed("tls", "transport_sockets.tls.v3.UpstreamTlsContext", {
      max_session_keys: 0,
      common_tls_context: tunnelTls([plan.files.client], plan.rootsFile),
    }),
  }));
  return { static_resources: { listeners, clusters } };
}

function serverConfig(plan: TunnelPeerPlan): unknown {
  const filter = connectManager({ generate_request_id: false });
  const cluster = authorityCluster({ circuit_breakers: NO_LIMITS });
  const tls = typed("tls", "transport_sockets.tls.v3.DownstreamTlsContext", {
    common_tls_context: tunnelTls([plan.files.server], plan.rootsFile),
    require_client_certificate: true,
    disable_stateless_session_resumption: true,
    disable_stateful_session_resumption: true,
  });
  const listeners = [listenerOf(plan.server, { filters: [filter], transport_socket: tls })];
  return { static_resources: { listeners, clusters: [cluster] } };
}

function listenerOf(listen: Target, chain: object): unknown {
  const name = `port-${listen.port}`;
  return { name, address: socketAddress(listen), tcp_backlog_size: 16_384, filter_chains: [chain] };
}
