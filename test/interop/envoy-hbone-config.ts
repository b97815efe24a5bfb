// Envoy's configuration as one end of HBONE, as a static bootstrap. Pure.

import assert from "node:assert/strict";
import type { PeerIdentity } from "./peer-identity.ts";

const EXTENSIONS = "type.googleapis.com/envoy.extensions";

export interface EnvoyClientOptions extends PeerIdentity {
  /** `address:port` for plain TCP. */
  readonly listen: string;
  /** `address:port` of the HBONE server. */
  readonly proxy: string;
  /** `address:port`, the authority of CONNECT. */
  readonly target: string;
}

export interface EnvoyServerOptions extends PeerIdentity {
  /** `address:port` for HBONE; it connects to the authority. */
  readonly listen: string;
}

/** TCP in, tunnels out. */
export function envoyClientConfig(options: EnvoyClientOptions): string {
  const { listen, proxy, target } = options;
  const filter = typed("tcp", "filters.network.tcp_proxy.v3.TcpProxy", {
    stat_prefix: "tunnel",
    cluster: "peer",
    tunneling_config: { hostname: target },
  });
  const cluster = {
    name: "peer",
    type: "STATIC",
    connect_timeout: "5s",
    load_assignment: {
      cluster_name: "peer",
      endpoints: [{ lb_endpoints: [{ endpoint: { address: addressOf(proxy) } }] }],
    },
    typed_extension_protocol_options: http2Upstream(),
    transport_socket: typed("tls", "transport_sockets.tls.v3.UpstreamTlsContext", {
      common_tls_context: tlsOf(options),
    }),
  };
  return bootstrap({ listen, filter, cluster });
}

/** Tunnels in, TCP out to each one's authority. Prints a line of JSON at the end of each. */
export function envoyServerConfig(options: EnvoyServerOptions): string {
  const route = {
    match: { connect_matcher: {} },
    route: {
      cluster: "authority",
      timeout: "0s",
      upgrade_configs: [{ upgrade_type: "CONNECT", connect_config: {} }],
    },
  };
  const connections = "filters.network.http_connection_manager.v3.HttpConnectionManager";
  const filter = typed("http", connections, {
    stat_prefix: "tunnel",
    codec_type: "HTTP2",
    http2_protocol_options: { allow_connect: true },
    upgrade_configs: [{ upgrade_type: "CONNECT" }],
    route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [route] }] },
    http_filters: [typed("router", "filters.http.router.v3.Router", {})],
    access_log: [accessLog()],
  });
  const cluster = {
    name: "authority",
    type: "ORIGINAL_DST",
    lb_policy: "CLUSTER_PROVIDED",
    connect_timeout: "5s",
    original_dst_lb_config: { use_http_header: true, http_header_name: ":authority" },
  };
  const tls = typed("tls", "transport_sockets.tls.v3.DownstreamTlsContext", {
    common_tls_context: tlsOf(options),
    require_client_certificate: true,
    disable_stateless_session_resumption: true,
  });
  return bootstrap({ listen: options.listen, filter, cluster, tls });
}

interface Parts {
  readonly listen: string;
  readonly filter: unknown;
  readonly cluster: unknown;
  readonly tls?: unknown;
}

function bootstrap({ listen, filter, cluster, tls }: Parts): string {
  const chain = { filters: [filter], ...(tls === undefined ? {} : { transport_socket: tls }) };
  const listener = { name: "in", address: addressOf(listen), filter_chains: [chain] };
  return JSON.stringify({ static_resources: { listeners: [listener], clusters: [cluster] } });
}

function tlsOf({ credential, rootsFile, peerId }: PeerIdentity): unknown {
  const certificates = credential === undefined ? [] : [credential];
  const names = { san_type: "URI", matcher: { exact: peerId } };
  return {
    tls_params: {
      tls_minimum_protocol_version: "TLSv1_3",
      tls_maximum_protocol_version: "TLSv1_3",
    },
    alpn_protocols: ["h2"],
    tls_certificates: certificates.map(({ chainFile, keyFile }) => ({
      certificate_chain: { filename: chainFile },
      private_key: { filename: keyFile },
    })),
    validation_context: {
      trusted_ca: { filename: rootsFile },
      match_typed_subject_alt_names: peerId === undefined ? [] : [names],
    },
  };
}

function accessLog(): unknown {
  return typed("log", "access_loggers.stream.v3.StdoutAccessLog", {
    log_format: {
      json_format: {
        authority: "%REQ(:AUTHORITY)%",
        peer: "%DOWNSTREAM_PEER_URI_SAN%",
        status: "%RESPONSE_CODE%",
        tls: "%DOWNSTREAM_TLS_VERSION%",
        received: "%BYTES_RECEIVED%",
      },
    },
  });
}

function http2Upstream(): unknown {
  return {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": `${EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions`,
      explicit_http_config: { http2_protocol_options: {} },
    },
  };
}

function typed(name: string, type: string, config: object): unknown {
  return { name, typed_config: { "@type": `${EXTENSIONS}.${type}`, ...config } };
}

function addressOf(text: string): unknown {
  const [, address, port] = /^\[?([^\]]+)\]?:(\d+)$/.exec(text) ?? [];
  assert(address !== undefined && port !== undefined, `${text} is no address and port`);
  return { socket_address: { address, port_value: Number(port) } };
}
