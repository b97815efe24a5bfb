// nginx's configuration for a bench. Pure. Upstream HTTP/2 is what its gRPC module speaks.

import { isHttp2, type PeerRoute } from "./proxy-subject.ts";

export function nginxConfig(routes: readonly PeerRoute[], directory: string): string {
  const http = routes.filter(({ service }) => service !== "tcp");
  const tcp = routes.filter(({ service }) => service === "tcp");
  return `daemon off;
master_process off;
pid ${directory}/nginx.pid;
error_log stderr crit;
worker_rlimit_nofile 16384;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
events { worker_connections 16384; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  http2_max_concurrent_streams 1024;
  client_body_temp_path ${directory}/nginx-body;
  proxy_temp_path ${directory}/nginx-proxy;
  map $http_upgrade $connection_upgrade {
    default upgrade;
    "" "";
  }
${http.map(httpServer).join("")}}
stream {
  access_log off;
${tcp.map(streamServer).join("")}}
`;
}

function httpServer({ service, listen, backend }: PeerRoute): string {
  const http1 = `proxy_pass http://${service};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;`;
  return `  upstream ${service} {
    server ${backend.address}:${backend.port};
    keepalive 2048;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }
  server {
    listen ${listen.address}:${listen.port}${isHttp2(service) ? " http2" : ""} backlog=16384;
    location / {
      ${isHttp2(service) ? `grpc_pass grpc://${service};` : http1}
    }
  }
`;
}

function streamServer({ listen, backend }: PeerRoute): string {
  return `  server {
    listen ${listen.address}:${listen.port} backlog=16384;
    proxy_pass ${backend.address}:${backend.port};
  }
`;
}
