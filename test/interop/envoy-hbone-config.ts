// Envoy's configuration as one end of HBONE, as a static bootstrap. Pure.

import assert from "node:assert/strict";
import {
  authorityCluster,
  connectManager,
  oneEndpoint,
  socketAddress,
  tunnelTls,
  typed,
  upstreamHttp,
} from "./envoy-parts.ts";
import type { PeerIdentity } from "./peer-identity.ts";

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
    ...oneEndpoint("peer", targetOf(proxy)),
    connect_timeout: "5s",
    typed_extension_protocol_options: upstreamHttp("http2_protocol_options"),
    transport_socket: typed("tls", "transport_sockets.tls.v3.UpstreamTlsContext", {
      common_tls_context: tlsOf(options),
    }),
  };
  return bootstrap({ listen, filter, cluster });
}

/** Tunnels in, TCP out to each one's authority. Prints a line of JSON at the end of each. */
export function envoyServerConfig(options: EnvoyServerOptions): string {
  const filter = connectManager({ access_log: [accessLog()] });
  const tls = typed("tls", "transport_sockets.tls.v3.DownstreamTlsContext", {
    common_tls_context: tlsOf(options),
    require_client_certificate: true,
    disable_stateless_session_resumption: true,
  });
  return bootstrap({ listen: options.listen, filter, cluster: authorityCluster(), tls });
}

interface Parts {
  readonly listen: string;
  readonly filter: unknown;
  readonly cluster: unknown;
  readonly tls?: unknown;
}

function bootstrap({ listen, filter, cluster, tls }: Parts): string {
  const chain = { filters: [filter], ...(tls === undefined ? {} : { transport_socket: tls }) };
  const listener = { name: "in", address: socketAddress(targetOf(listen)), filter_chains: [chain] };
  return JSON.stringify({ static_resources: { listeners: [listener], clusters: [cluster] } });
}

function tlsOf({ credential, rootsFile, peerId }: PeerIdentity): unknown {
  const certificates = credential === undefined ? [] : [credential];
  const names = { san_type: "URI", matcher: { exact: peerId } };
  return tunnelTls(certificates, rootsFile, {
    match_typed_subject_alt_names: peerId === undefined ? [] : [names],
  });
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

function targetOf(text: string) {
  const [, address, port] = /^\[?([^\]]+)\]?:(\d+)$/.exec(text) ?? [];
  assert(address !== undefined && port !== undefined, `${text} is no address and port`);
  return { address, port: Number(port) };
}
