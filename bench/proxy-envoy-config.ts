// Envoy's configuration for a bench, as a static bootstrap. Pure.

import { oneEndpoint, socketAddress, typed, upstreamHttp } from "../test/interop/envoy-parts.ts";
import { isHttp2, type PeerRoute } from "./proxy-subject.ts";

/** Envoy's own limits of 1,024 are none that the others have. */
const UNLIMITED = 1_000_000;
/** Circuit breakers of a cluster. */
export const NO_LIMITS = {
  thresholds: [
    { max_connections: UNLIMITED, max_pending_requests: UNLIMITED, max_requests: UNLIMITED },
  ],
};

export function envoyConfig(routes: readonly PeerRoute[]): string {
  const bootstrap = {
    static_resources: { listeners: routes.map(listenerOf), clusters: routes.map(clusterOf) },
  };
  return JSON.stringify(bootstrap, undefined, 1);
}

function listenerOf(route: PeerRoute): unknown {
  const { service, listen } = route;
  return {
    name: service,
    address: socketAddress(listen),
    tcp_backlog_size: 16_384,
    filter_chains: [{ filters: [service === "tcp" ? tcpProxy(route) : httpManager(route)] }],
  };
}

function tcpProxy({ service }: PeerRoute): unknown {
  const config = { stat_prefix: service, cluster: service };
  return typed("tcp", "filters.network.tcp_proxy.v3.TcpProxy", config);
}

function httpManager({ service }: PeerRoute): unknown {
  const routes = [{ match: { prefix: "/" }, route: { cluster: service, timeout: "0s" } }];
  return typed("http", "filters.network.http_connection_manager.v3.HttpConnectionManager", {
    stat_prefix: service,
    codec_type: isHttp2(service) ? "HTTP2" : "HTTP1",
    // What the others do not do either.
    generate_request_id: false,
    upgrade_configs: service === "websocket" ? [{ upgrade_type: "websocket" }] : [],
    route_config: { virtual_hosts: [{ name: service, domains: ["*"], routes }] },
    http_filters: [typed("router", "filters.http.router.v3.Router")],
  });
}

function clusterOf({ service, backend }: PeerRoute): unknown {
  return {
    ...oneEndpoint(service, backend),
    connect_timeout: "5s",
    circuit_breakers: NO_LIMITS,
    typed_extension_protocol_options: upstreamHttp(
      isHttp2(service) ? "http2_protocol_options" : "http_protocol_options",
    ),
  };
}
