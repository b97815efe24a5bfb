// Program: serves gRPC and HTTP in the pods' namespaces, and calls gRPC from its own, as its parent
// says on stdin (`WebCalls`, one JSON object a line).
//
// gRPC over HTTP/2 as in grpc/doc/PROTOCOL-HTTP2.md; its message is the answering pod's name as it
// is, for nobody here needs Protocol Buffers.

import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import {
  type ClientHttp2Session,
  connect,
  createServer as createHttp2Server,
  type ServerHttp2Stream,
} from "node:http2";
import type { Server } from "node:net";

import { inNetworkNamespace } from "../lib/sys/ffi.ts";
import { answerCalls } from "./line-calls.ts";
import type { UnaryLoad, UnaryReport, WebCalls, WebServer } from "./web-protocol.ts";

const CALL_WITHIN_MS = 3_000;
/** Compressed flag and length come before each message. */
const PREFIX_BYTES = 5;

const home = openSync("/proc/self/ns/net", "r");
/** By pod and path. */
const counts = new Map<string, number>();
/** By pod. */
const statuses = new Map<string, number>();

answerCalls<WebCalls>({
  "serve-grpc": (server) => listen(server, () => grpcServer(server.pod)),
  "serve-http": (server) => listen(server, () => httpServer(server.pod)),
  answer({ pod, status }) {
    statuses.set(pod, status);
    return null;
  },
  requests: ({ pod, path }) => counts.get(pod + path) ?? 0,
  "call-grpc": callMany,
});

/** The socket is made before the first `await`, so inside the namespace. */
async function listen({ netns, port }: WebServer, create: () => Server): Promise<null> {
  const descriptor = openSync(netns, "r");
  try {
    const server = inNetworkNamespace(descriptor, home, () => create().listen(port));
    await once(server, "listening");
    return null;
  } finally {
    closeSync(descriptor);
  }
}

function httpServer(pod: string): Server {
  return createHttpServer(({ url = "" }, response) => {
    counts.set(pod + url, (counts.get(pod + url) ?? 0) + 1);
    response.writeHead(statuses.get(pod) ?? 200).end();
  });
}

function grpcServer(pod: string): Server {
  const server = createHttp2Server();
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => {}); // The caller's way to hang up is the caller's business.
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.resume().on("end", () => {
      stream.respond({ "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.end(framed(pod));
    });
  });
  return server;
}

async function callMany({ address, port, count, parallel }: UnaryLoad): Promise<UnaryReport> {
  const session = connect(`http://${address}:${port}`);
  session.on("error", () => {}); // Its calls fail, which is counted.
  const pods = new Map<string, number>();
  let [left, failed] = [count, 0];
  const work = async (): Promise<void> => {
    while (left-- > 0) {
      const pod = await call(session);
      if (pod === undefined) failed++;
      else pods.set(pod, (pods.get(pod) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
  session.destroy();
  const names = [...pods.keys()].sort();
  return { pods: Object.fromEntries(names.map((pod) => [pod, pods.get(pod) ?? 0])), failed };
}

/** @returns the pod that answered; undefined when none did */
async function call(session: ClientHttp2Session): Promise<string | undefined> {
  if (session.destroyed) return undefined;
  const stream = session.request({
    ":method": "POST",
    ":path": "/shop.Orders/List",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.setTimeout(CALL_WITHIN_MS, () => stream.close());
  let status: unknown;
  const onHeaders = (headers: Readonly<Record<string, unknown>>): void => {
    status = headers["grpc-status"] ?? status;
  };
  stream.on("response", onHeaders).on("trailers", onHeaders);
  stream.end(framed(""));
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    const message = Buffer.concat(chunks).subarray(PREFIX_BYTES).toString();
    return status === "0" ? message : undefined;
  } catch {
    return undefined;
  }
}

function framed(text: string): Buffer {
  const bytes = Buffer.alloc(PREFIX_BYTES + Buffer.byteLength(text));
  bytes.writeUInt32BE(bytes.length - PREFIX_BYTES, 1);
  bytes.write(text, PREFIX_BYTES);
  return bytes;
}
