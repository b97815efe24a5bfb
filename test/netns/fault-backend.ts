// Program: an HTTP backend that misbehaves when its parent says so (`FaultBackendCalls`). Paths ask
// for sizes and delays: `/bytes?n=`, `/slow?ms=`, `/trickle?n=&ms=` (chunks, one every ms), and
// `/echo` in HTTP/2 (each piece of the request goes back). Upgrades become an echo of bytes.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import {
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import type { Server, Socket } from "node:net";
import type { Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { answerCalls } from "../../playground/line-calls.ts";
import type { BackendCounts, BackendMode, FaultBackendCalls } from "./fault-backend-protocol.ts";

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

const LARGE_PIECE = Buffer.alloc(65_536, "b");
const PIECE = Buffer.alloc(1024, "piece of a long answer. ");

let pod = "";
let port = 0;
let mode: BackendMode = "ok";
let counts = { requests: 0, mostInFlight: 0, cancelled: 0, connections: 0 };
let inFlight = 0;
const keys = new Map<string, number>();
const open = new Set<Socket>();
let server: Server | undefined;

answerCalls<FaultBackendCalls>({
  async listen(request) {
    ({ pod, port } = request);
    server = request.protocol === "http1" ? http1() : createHttp2Server(serve);
    server.on("connection", (socket: Socket) => {
      counts.connections++;
      open.add(socket);
      socket.on("error", () => {}).once("close", () => open.delete(socket));
    });
    await listen();
    return null;
  },
  async mode(request) {
    const before = mode;
    ({ mode } = request);
    if (mode === "refuse") {
      server?.close();
      for (const socket of open) socket.resetAndDestroy();
    } else if (before === "refuse") await listen();
    return null;
  },
  counts(): BackendCounts {
    return { ...counts, inFlight, keys: Object.fromEntries(keys) };
  },
  reset() {
    counts = { requests: 0, mostInFlight: inFlight, cancelled: 0, connections: open.size };
    keys.clear();
    return null;
  },
});

async function listen(): Promise<void> {
  if (server === undefined) return;
  server.listen(port, "::");
  await once(server, "listening");
}

function http1(): Server {
  const made = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0 }, serve);
  made.on("upgrade", (_request, socket: Socket) => {
    const fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x";
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n\r\n`);
    socket.on("error", () => {}).pipe(socket);
  });
  return made;
}

function serve(request: Request, response: Response): void {
  counts.requests++;
  counts.mostInFlight = Math.max(counts.mostInFlight, ++inFlight);
  const key = request.headers["x-key"];
  if (typeof key === "string") keys.set(key, (keys.get(key) ?? 0) + 1);
  request.on("error", () => {});
  response.on("error", () => {});
  response.once("close", () => {
    inFlight--;
    if (!response.writableFinished) counts.cancelled++;
  });
  void answer(request, response).catch(() => response.destroy());
}

async function answer(request: Request, response: Response): Promise<void> {
  const url = new URL(request.url ?? "/", "http://backend");
  const number = (name: string): number => Number(url.searchParams.get(name) ?? "0");
  if (mode === "hang") return void request.resume();
  if (mode === "fail") {
    request.resume();
    response.statusCode = 503;
    return void response.end();
  }
  if (url.pathname === "/echo") return void request.pipe(response);
  const hash = createHash("sha256");
  let bodyBytes = 0;
  for await (const chunk of request) {
    hash.update(chunk as Buffer);
    bodyBytes += (chunk as Buffer).length;
  }
  if (url.pathname === "/slow") await delay(number("ms"));
  if (url.pathname === "/bytes") {
    response.setHeader("content-length", number("n"));
    return sendBytes(response, number("n"));
  }
  if (url.pathname === "/trickle") return await trickle(response, number("n"), number("ms"));
  const { method = "", url: asked = "" } = request;
  const host = request.headers.host ?? request.headers[":authority"] ?? "";
  const bodyHash = hash.digest("hex");
  const text = JSON.stringify({ pod, method, url: asked, host, bodyBytes, bodyHash });
  response.setHeader("content-type", "application/json");
  response.end(text);
}

/** As fast as they are taken, and no faster: there may be thousands of such answers. */
function sendBytes(response: Writable, lengthBytes: number): void {
  let left = lengthBytes;
  const more = (): void => {
    while (left > 0) {
      const piece = LARGE_PIECE.subarray(0, left);
      left -= piece.length;
      if (!response.write(piece)) return void response.once("drain", more);
    }
    response.end();
  };
  more();
}

async function trickle(response: Writable, pieces: number, ms: number): Promise<void> {
  for (let i = 0; i < pieces && !response.destroyed; i++) {
    response.write(PIECE);
    await delay(ms);
  }
  response.end();
}
