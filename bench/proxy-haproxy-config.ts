// HAProxy's configuration for a bench. Pure.

import { isHttp2, type PeerRoute } from "./proxy-subject.ts";

export function haproxyConfig(routes: readonly PeerRoute[]): string {
  return `global
  nbthread 1
  maxconn 8192
defaults
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout tunnel 600s
  option dontlognull
  option http-keep-alive
  http-reuse always
  maxconn 8192
${routes.map(sectionsOf).join("")}`;
}

function sectionsOf({ service, listen, backend }: PeerRoute): string {
  const protocol = isHttp2(service) ? " proto h2" : "";
  const mode = service === "tcp" ? "tcp" : "http";
  const route = mode === "tcp" ? "" : " if { path_beg / }";
  return `frontend ${service}
  mode ${mode}
  bind ${listen.address}:${listen.port}${protocol} backlog 16384
  use_backend ${service}${route}
backend ${service}
  mode ${mode}
  server backend ${backend.address}:${backend.port}${protocol}
`;
}
