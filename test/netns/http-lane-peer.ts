// Program: a server in a pod's place, for the L7 lane: answers every request with what it got, as
// JSON. `http1` or `http2` (by prior knowledge, with trailers as gRPC has them).

import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";

/** What a server was asked, as it tells. */
export interface Asked {
  readonly pod: string;
  readonly version: string;
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly from: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

if (import.meta.main) {
  const [kind = "", pod = "", port = ""] = process.argv.slice(2);
  await serve(kind, pod, Number(port));
}

async function serve(kind: string, pod: string, port: number): Promise<void> {
  const server = kind === "http1" ? http1(pod) : http2(pod);
  server.listen(port, "::");
  await once(server, "listening");
  process.stdout.write("listening\n");
}

function http1(pod: string): ReturnType<typeof createServer> {
  return createServer((request, response) => {
    const { method, url: path, headers, socket } = request;
    const from = socket.remoteAddress;
    response.end(told({ pod, version: "1.1", method, path, from, headers }));
  });
}

function http2(pod: string): ReturnType<typeof createHttp2Server> {
  const server = createHttp2Server();
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    const { ":method": method, ":path": path } = headers;
    const from = stream.session?.socket.remoteAddress;
    stream.respond({ "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(told({ pod, version: "2", method, path, from, headers: { ...headers } }));
  });
  return server;
}

function told(asked: Asked): string {
  return `${JSON.stringify(asked)}\n`;
}
