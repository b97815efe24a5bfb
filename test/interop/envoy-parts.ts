// Pieces that Envoy's configurations are made of, tunnels' above all. Pure.

export interface Target {
  readonly address: string;
  readonly port: number;
}

const EXTENSIONS = "type.googleapis.com/envoy.extensions";
const HTTP_OPTIONS = "upstreams.http.v3.HttpProtocolOptions";

/** An extension with its settings. @param type without the part that all have */
export function typed(name: string, type: string, config: object = {}): unknown {
  return { name, typed_config: { "@type": `${EXTENSIONS}.${type}`, ...config } };
}

export function socketAddress({ address, port }: Target): unknown {
  return { socket_address: { address, port_value: port } };
}

/** Of a cluster with one endpoint. */
export function oneEndpoint(name: string, target: Target): object {
  const endpoint = { address: socketAddress(target) };
  return {
    name,
    type: "STATIC",
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint }] }] },
  };
}

/** How a cluster speaks HTTP. */
export function upstreamHttp(
  version: "http_protocol_options" | "http2_protocol_options",
  more: object = {},
): object {
  const options = { explicit_http_config: { [version]: {} }, ...more };
  return {
    [`envoy.extensions.${HTTP_OPTIONS}`]: { "@type": `${EXTENSIONS}.${HTTP_OPTIONS}`, ...options },
  };
}

/** Takes tunnels, CONNECT over HTTP/2, to the cluster `authority`. */
export function connectManager(more: object = {}): unknown {
  const route = {
    match: { connect_matcher: {} },
    route: {
      cluster: "authority",
      timeout: "0s",
      upgrade_configs: [{ upgrade_type: "CONNECT", connect_config: {} }],
    },
  };
  return typed("http", "filters.network.http_connection_manager.v3.HttpConnectionManager", {
    stat_prefix: "tunnel",
    codec_type: "HTTP2",
    http2_protocol_options: { allow_connect: true },
    upgrade_configs: [{ upgrade_type: "CONNECT" }],
    route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [route] }] },
    http_filters: [typed("router", "filters.http.router.v3.Router")],
    ...more,
  });
}

/** Connects to whatever a tunnel names. */
export function authorityCluster(more: object = {}): unknown {
  return {
    name: "authority",
    type: "ORIGINAL_DST",
    lb_policy: "CLUSTER_PROVIDED",
    connect_timeout: "5s",
    original_dst_lb_config: { use_http_header: true, http_header_name: ":authority" },
    ...more,
  };
}

/** TLS 1.3 with files in PEM. @param validation beside the roots */
export function tunnelTls(
  certificates: readonly { readonly chainFile: string; readonly keyFile: string }[],
  rootsFile: string,
  validation: object = {},
): unknown {
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
    validation_context: { trusted_ca: { filename: rootsFile }, ...validation },
  };
}
