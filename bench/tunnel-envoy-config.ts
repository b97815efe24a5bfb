// Envoy's configuration as both ends of tunnels for a bench: TCP in, CONNECT over HTTP/2 over
// mutual TLS 1.3 between the two, TCP out. Pure.

import type { Target } from "./rig.ts";
import type { TunnelPeerPlan } from "./tunnel-peer-plan.ts";
import { DOORS, type Side } from "./tunnel-subject.ts";

const EXTENSIONS = "type.googleapis.com/envoy.extensions";
/** Envoy's own limits of 1,024 are none that the others have. */
const UNLIMITED = 1_000_000;
const LIMITS = {
  thresholds: [
    { max_connections: UNLIMITED, max_pending_requests: UNLIMITED, max_requests: UNLIMITED },
  ],
};

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
    name: door,
    type: "STATIC",
    connect_timeout: "10s",
    circuit_breakers: LIMITS,
    load_assignment: {
      cluster_name: door,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: addressOf(plan.server) } }] }],
    },
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": `${EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: { http2_protocol_options: {} },
        ...(door === "cold" && {
          common_http_protocol_options: { max_requests_per_connection: 1 },
        }),
      },
    },
    transport_socket: typed("tls", "transport_sockets.tls.v3.UpstreamTlsContext", {
      max_session_keys: 0,
      common_tls_context: tlsOf(plan, plan.files.client),
    }),
  }));
  return { static_resources: { listeners, clusters } };
}

function serverConfig(plan: TunnelPeerPlan): unknown {
  const route = {
    match: { connect_matcher: {} },
    route: {
      cluster: "authority",
      timeout: "0s",
      upgrade_configs: [{ upgrade_type: "CONNECT", connect_config: {} }],
    },
  };
  const manager = "filters.network.http_connection_manager.v3.HttpConnectionManager";
  const filter = typed("http", manager, {
    stat_prefix: "tunnel",
    codec_type: "HTTP2",
    generate_request_id: false,
    http2_protocol_options: { allow_connect: true },
    upgrade_configs: [{ upgrade_type: "CONNECT" }],
    route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [route] }] },
    http_filters: [typed("router", "filters.http.router.v3.Router", {})],
  });
  const cluster = {
    name: "authority",
    type: "ORIGINAL_DST",
    lb_policy: "CLUSTER_PROVIDED",
    connect_timeout: "5s",
    circuit_breakers: LIMITS,
    original_dst_lb_config: { use_http_header: true, http_header_name: ":authority" },
  };
  const tls = typed("tls", "transport_sockets.tls.v3.DownstreamTlsContext", {
    common_tls_context: tlsOf(plan, plan.files.server),
    require_client_certificate: true,
    disable_stateless_session_resumption: true,
    disable_stateful_session_resumption: true,
  });
  const listeners = [listenerOf(plan.server, { filters: [filter], transport_socket: tls })];
  return { static_resources: { listeners, clusters: [cluster] } };
}

function listenerOf(listen: Target, chain: object): unknown {
  const name = `port-${listen.port}`;
  return { name, address: addressOf(listen), tcp_backlog_size: 16_384, filter_chains: [chain] };
}

function tlsOf({ rootsFile }: TunnelPeerPlan, files: TunnelPeerPlan["files"][Side]): unknown {
  return {
    tls_params: {
      tls_minimum_protocol_version: "TLSv1_3",
      tls_maximum_protocol_version: "TLSv1_3",
    },
    alpn_protocols: ["h2"],
    tls_certificates: [
      {
        certificate_chain: { filename: files.chainFile },
        private_key: { filename: files.keyFile },
      },
    ],
    validation_context: { trusted_ca: { filename: rootsFile } },
  };
}

function typed(name: string, type: string, config: object): unknown {
  return { name, typed_config: { "@type": `${EXTENSIONS}.${type}`, ...config } };
}

function addressOf({ address, port }: Target): unknown {
  return { socket_address: { address, port_value: port } };
}
