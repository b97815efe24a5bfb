// Backends that are not ours: Node, Python, nginx and HAProxy, each in a pod, each told to answer
// with what it read (`METHOD HOST TARGET`), and to write that down for every request it sees.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Playground } from "../../playground/cluster.ts";
import type { PlaygroundHost } from "../../playground/topology.ts";
import { BACKEND_PORT } from "../../service-proxy/plan/packet-case-manifests.ts";

export const ORIGINS = ["node", "python", "nginx", "haproxy"] as const;
export type OriginKind = (typeof ORIGINS)[number];

/** One running program. */
export class Origin implements AsyncDisposable {
  /** Lines `METHOD HOST TARGET`, of every request it has read. */
  readonly seen: string[] = [];
  readonly #child: ChildProcess;
  readonly #directory: string;

  /** Use `start`. */
  constructor(child: ChildProcess, directory: string) {
    this.#child = child;
    this.#directory = directory;
    assert(child.stdout !== null);
    createInterface({ input: child.stdout }).on("line", (line) => this.seen.push(line));
  }

  /** It may take a moment until it listens. */
  static async start(
    playground: Playground,
    host: PlaygroundHost,
    kind: OriginKind,
  ): Promise<Origin> {
    const directory = await mkdtemp(join(tmpdir(), `innermesh-${kind}-`));
    const file = join(directory, "program");
    const { text, words } = PROGRAMS[kind](file);
    await writeFile(file, text);
    return new Origin(playground.spawn(host.netns, words), directory);
  }

  /** Its processes end with the playground, at the latest. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await rm(this.#directory, { recursive: true, force: true });
  }
}

interface Program {
  /** Of the file. */
  readonly text: string;
  readonly words: readonly string[];
}

const PROGRAMS: Readonly<Record<OriginKind, (file: string) => Program>> = {
  node: (file) => ({
    words: [process.execPath, "--input-type=commonjs", "-e", NODE_PROGRAM],
    text: `// ${file} holds nothing: the program is an argument.`,
  }),
  python: (file) => ({ words: ["/usr/bin/env", "python3", "-u", file], text: PYTHON_PROGRAM }),
  nginx: (file) => ({
    // It opens its log by name, which takes a pipe: what we give is a socket.
    words: ["sh", "-c", `nginx -c ${file} -g 'pid ${file}.pid; error_log stderr crit;' | cat`],
    text: NGINX_FILE,
  }),
  haproxy: (file) => ({ words: ["/usr/sbin/haproxy", "-db", "-f", file], text: HAPROXY_FILE }),
};

const NODE_PROGRAM = `
require("node:http").createServer({ keepAliveTimeout: 60000 }, (request, response) => {
  const line = request.method + " " + (request.headers.host ?? "") + " " + request.url;
  console.log(line);
  request.on("error", () => {}).resume().once("end", () => response.end(line));
}).listen(${BACKEND_PORT}, "::");
`;

const PYTHON_PROGRAM = `
import http.server, socket

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        line = f"{self.command} {self.headers.get('host', '')} {self.path}"
        print(line, flush=True)
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while (size := int(self.rfile.readline().split(b";")[0], 16)) > 0:
                self.rfile.read(size + 2)
            while self.rfile.readline().strip():
                pass
        else:
            self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(200)
        self.send_header("content-length", str(len(line)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(line.encode("latin1"))

    do_GET = do_POST = do_PUT = do_HEAD = do_OPTIONS = answer

    def log_message(self, *_):
        pass

class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

Server(("::", ${BACKEND_PORT}), Handler).serve_forever()
`;

const NGINX_FILE = `
daemon off;
master_process off;
events { worker_connections 512; }
http {
  log_format seen "$request_method $http_host $request_uri";
  access_log /dev/stdout seen;
  keepalive_timeout 60s;
  server {
    listen [::]:${BACKEND_PORT} ipv6only=off;
    location / { return 200 "$request_method $http_host $request_uri"; }
  }
}
`;

const HAPROXY_FILE = `
global
  log stdout format raw local0
defaults
  mode http
  log global
  timeout client 60s
  timeout http-keep-alive 60s
  timeout connect 5s
  timeout server 60s
frontend web
  bind :::${BACKEND_PORT} v4v6
  http-request capture req.hdr(host) len 128
  log-format "%HM %[capture.req.hdr(0)] %HU"
  http-request return status 200 content-type text/plain \
lf-string "%[method] %[req.hdr(host)] %[url]"
`;
