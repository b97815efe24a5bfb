// Envoy's configuration for a bench, as a static bootstrap. Pure.

import { isHttp2, type PeerRoute } from "./proxy-subject.ts";
import type { Target } from "./rig.ts";

const EXTENSIONS = "type.googleapis.com/envoy.extensions";
/** Envoy's own limits of 1,024 are none that the others have. */
const UNLIMITED = 1_000_000;

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
    address: addressOf(listen),
    tcp_backlog_size: 16_384,
    filter_chains: [{ filters: [service === "tcp" ? tcpProxy(route) : httpManager(route)] }],
  };
}

function tcpProxy({ service }: PeerRoute): unknown {
  return {
    name: "tcp",
    typed_config: {
      "@type": `${EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy`,
      stat_prefix: service,
      cluster: service,
    },
  };
}

function httpManager(route: PeerRoute): unknown {
  const { service } = route;
  return {
    name: "http",
    typed_config: {
      "@type": `${EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: service,
      codec_type: isHttp2(service) ? "HTTP2" : "HTTP1",
      // What the others do not do either.
      generate_request_id: false,
      upgrade_configs: service === "websocket" ? [{ upgrade_type: "websocket" }] : [],
      route_config: {
        virtual_hosts: [
          {
            name: service,
            domains: ["*"],
            routes: [{ match: { prefix: "/" }, route: { cluster: service, timeout: "0s" } }],
          },
        ],
      },
      http_filters: [
        {
          name: "router",
          typed_config: { "@type": `${EXTENSIONS}.filters.http.router.v3.Router` },
        },
      ],
    },
  };
}

function clusterOf(route: PeerRoute): unknown {
  const { service, backend } = route;
  const version = isHttp2(service) ? "http2_protocol_options" : "http_protocol_options";
  const limits = {
    max_connections: UNLIMITED,
    max_pending_requests: UNLIMITED,
    max_requests: UNLIMITED,
  };
  return {
    name: service,
    type: "STATIC",
    connect_timeout: "5s",
    circuit_breakers: { thresholds: [limits] },
    load_assignment: {
      cluster_name: service,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: addressOf(backend) } }] }],
    },
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": `${EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: { [version]: {} },
      },
    },
  };
}

function addressOf({ address, port }: Target): unknown {
  return { socket_address: { address, port_value: port } };
}
