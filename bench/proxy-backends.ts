// What answers behind the proxies: nginx, which costs least, and a WebSocket echo. Pure but for
// the files that nginx serves.

import { mkdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ProxyService } from "./proxy-subject.ts";

export const BACKEND_PORTS: Readonly<Record<ProxyService, number>> = {
  http: 8080,
  tcp: 8080,
  http2: 8081,
  grpc: 8081,
  websocket: 8082,
};
/** A program; it listens on `BACKEND_PORTS.websocket`. */
export const WEBSOCKET_SERVER = fileURLToPath(
  new URL("./proxy-websocket-server-program.ts", import.meta.url),
);
const BODY_BYTES = 64;
const MIB = 1 << 20;

/** Paths that the HTTP backends know. `/` is answered with 64 bytes. */
export const BODY_PATH = "/files/body";
export const STREAM_PATH = "/files/stream";
export const GRPC_PATH = "/bench.Echo/Say";
/** What a gRPC request says beside its path. */
export const GRPC_HEADERS = ["content-type: application/grpc", "te: trailers"] as const;
const STREAM_MIB = 256;

/** @returns the path of nginx's configuration */
export async function writeBackendFiles(directory: string): Promise<string> {
  await mkdir(join(directory, "files"));
  await mkdir(join(directory, "bench.Echo"));
  await writeFile(join(directory, GRPC_PATH), grpcMessage());
  for (const [path, mib] of [
    [BODY_PATH, 1],
    [STREAM_PATH, STREAM_MIB],
  ] as const) {
    await writeFile(join(directory, path), "");
    await truncate(join(directory, path), mib * MIB);
  }
  const path = join(directory, "backend.conf");
  await writeFile(path, backendConfig(directory));
  return path;
}

/** One gRPC message (length-prefixed, not compressed), which is request and response. */
function grpcMessage(): Buffer {
  const message = Buffer.alloc(5 + BODY_BYTES);
  message.writeUInt32BE(BODY_BYTES, 1);
  return message;
}

/** A POST that names a file would be refused with 405, hence the turn to /answer for gRPC. */
function backendConfig(directory: string): string {
  return `daemon off;
master_process off;
pid ${directory}/backend.pid;
error_log stderr crit;
worker_rlimit_nofile 16384;
events { worker_connections 16384; }
http {
  access_log off;
  sendfile on;
  etag off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  http2_max_concurrent_streams 1024;
  open_file_cache max=10;
  client_body_temp_path ${directory}/backend-body;
  server {
    listen ${BACKEND_PORTS.http} backlog=16384;
    listen ${BACKEND_PORTS.http2} http2 backlog=16384;
    root ${directory};
    default_type application/octet-stream;
    location = / { return 200 "${"0".repeat(BODY_BYTES)}"; }
    location = ${GRPC_PATH} {
      default_type application/grpc;
      add_trailer grpc-status 0;
      error_page 405 =200 /answer;
    }
    location = /answer {
      alias ${directory}${GRPC_PATH};
      default_type application/grpc;
      add_trailer grpc-status 0;
    }
  }
}
`;
}
