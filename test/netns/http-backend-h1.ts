// The HTTP/1.1 backend of a pod: says what it saw, does as it is asked, echoes WebSocket messages.

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { patternBody } from "./http-backend-behaviour.ts";
import { type ArrivingRequest, type BackendLog, pairsOf, unmapped } from "./http-backend-log.ts";

const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Not listening yet. */
export function createHttp1Backend(pod: string, log: BackendLog): Server {
  const connections = new WeakMap<object, number>();
  let lastConnection = 0;
  const arrive = (request: IncomingMessage): ArrivingRequest => {
    const connection = connections.get(request.socket) ?? ++lastConnection;
    connections.set(request.socket, connection);
    return log.arrive({
      pod,
      protocol: "http1",
      method: request.method ?? "",
      path: request.url ?? "",
      host: request.headers.host ?? "",
      fields: pairsOf(request.rawHeaders),
      client: unmapped(request.socket.remoteAddress),
      connection,
    });
  };
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    void answer(request, response, arrive(request));
  });
  server.on("upgrade", (request, socket) => {
    arrive(request);
    openWebSocket(request, socket);
  });
  return server;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  arriving: ArrivingRequest,
): Promise<void> {
  const { behaviour } = arriving;
  request.on("error", () => {}); // The proxy may cancel.
  request.on("data", (chunk: Buffer) => {
    arriving.hash.update(chunk);
    arriving.bodyBytes += chunk.length;
  });
  if (!behaviour.early) {
    await new Promise<void>((resolve) => request.once("close", resolve).once("end", resolve));
  }
  if (behaviour.delayMs > 0) await delay(behaviour.delayMs);
  const seen = arriving.seen(pairsOf(request.rawTrailers));
  if (behaviour.reset) return void request.socket.resetAndDestroy();
  const status = behaviour.status ?? 200;
  const isBare = status === 204 || status === 304;
  const body =
    behaviour.sizeBytes === undefined
      ? Buffer.from(JSON.stringify(seen))
      : patternBody(behaviour.sizeBytes);
  const fields = ["content-type", "application/json", ...behaviour.fields.flat()];
  if (!isBare && !behaviour.trailers) fields.push("content-length", `${body.length}`);
  if (behaviour.trailers) fields.push("trailer", "x-sum");
  response.writeHead(status, fields);
  if (!isBare) response.write(body);
  if (behaviour.trailers) response.addTrailers([["x-sum", "done"]]);
  response.end();
}

/** RFC 6455 as far as a test needs it: whole text messages below 64 KiB. */
function openWebSocket(request: IncomingMessage, socket: Duplex): void {
  const accept = createHash("sha1")
    .update(`${request.headers["sec-websocket-key"]}${ACCEPT_SUFFIX}`)
    .digest("base64");
  const lines = ["Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${accept}`];
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("\r\n")}\r\n\r\n`);
  let buffered = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    for (;;) {
      const frame = takeFrame(buffered);
      if (frame === undefined) return;
      buffered = buffered.subarray(frame.lengthBytes);
      socket.write(frame.echo);
      if (frame.isClose) return void socket.end();
    }
  });
}

function takeFrame(
  bytes: Buffer,
): { lengthBytes: number; echo: Buffer; isClose: boolean } | undefined {
  if (bytes.length < 6) return undefined;
  const short = bytes.readUInt8(1) & 0x7f;
  const isLong = short === 126;
  const maskAt = isLong ? 4 : 2;
  if (bytes.length < maskAt + 4) return undefined;
  const payloadBytes = isLong ? bytes.readUInt16BE(2) : short;
  const lengthBytes = maskAt + 4 + payloadBytes;
  if (bytes.length < lengthBytes) return undefined;
  const header = Buffer.from(bytes.subarray(0, maskAt));
  header.writeUInt8(header.readUInt8(1) & 0x7f, 1);
  const payload = Buffer.from(bytes.subarray(maskAt + 4, lengthBytes));
  for (let i = 0; i < payloadBytes; i++) {
    payload[i] = (payload[i] ?? 0) ^ (bytes[maskAt + (i & 3)] ?? 0);
  }
  return {
    lengthBytes,
    echo: Buffer.concat([header, payload]),
    isClose: (bytes.readUInt8(0) & 0x0f) === 8,
  };
}
