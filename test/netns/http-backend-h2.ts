// The HTTP/2 backend of a pod (prior knowledge): echoes what it saw, or serves gRPC. Of a gRPC
// method's name the end decides: `List` streams answers, `Chat` echoes each message, all others
// answer once, after the last message, with what was seen and how many messages there were.

import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { encodeMessage, MessageReader } from "./grpc-message.ts";
import { patternBody } from "./http-backend-behaviour.ts";
import {
  type ArrivingRequest,
  type BackendLog,
  pairsOf,
  unmapped,
  valueOf,
} from "./http-backend-log.ts";
import type { FieldPairs } from "./http-backend-protocol.ts";

/** Messages of a `List`. */
const LIST_LENGTH = 5;

/** Not listening yet. */
export function createHttp2Backend(pod: string, log: BackendLog): Http2Server {
  const connections = new WeakMap<object, number>();
  let lastConnection = 0;
  const server = createServer();
  server.on("session", (session) => connections.set(session, ++lastConnection));
  server.on("stream", (stream: ServerHttp2Stream, _headers, _flags, raw) => {
    const pairs = pairsOf(raw);
    const path = valueOf(pairs, ":path");
    const { session } = stream;
    const arriving = log.arrive({
      pod,
      protocol: "http2",
      method: valueOf(pairs, ":method"),
      path,
      host: valueOf(pairs, ":authority"),
      fields: pairs.filter(([name]) => !name.startsWith(":")),
      client: unmapped(session?.socket.remoteAddress),
      connection: (session && connections.get(session)) ?? 0,
    });
    stream.on("error", () => {}); // The proxy may cancel.
    const isGrpc = valueOf(pairs, "content-type").startsWith("application/grpc");
    void (isGrpc ? serveGrpc(stream, arriving, path) : serveHttp(stream, arriving));
  });
  return server;
}

async function serveHttp(stream: ServerHttp2Stream, arriving: ArrivingRequest): Promise<void> {
  const { behaviour } = arriving;
  let trailers: FieldPairs = [];
  stream.on("trailers", (_trailers, _flags, raw: readonly string[]) => {
    trailers = pairsOf(raw);
  });
  if (arriving.expectsContinue) stream.additionalHeaders({ ":status": 100 });
  const ended = consume(stream, arriving, undefined);
  if (!behaviour.early) await ended;
  if (behaviour.delayMs > 0) await delay(behaviour.delayMs);
  const seen = arriving.seen(trailers);
  if (stream.destroyed) return;
  if (behaviour.reset) return stream.session?.destroy();
  const body =
    behaviour.sizeBytes === undefined
      ? Buffer.from(JSON.stringify(seen))
      : patternBody(behaviour.sizeBytes);
  stream.once("wantTrailers", () => stream.sendTrailers({ "x-sum": "done" }));
  stream.respond(
    {
      ":status": behaviour.status ?? 200,
      "content-type": "application/json",
      ...Object.fromEntries(behaviour.fields),
    },
    { waitForTrailers: behaviour.trailers },
  );
  stream.end(body);
}

async function serveGrpc(
  stream: ServerHttp2Stream,
  arriving: ArrivingRequest,
  path: string,
): Promise<void> {
  const { behaviour } = arriving;
  const fields = { "content-type": "application/grpc", ...Object.fromEntries(behaviour.fields) };
  if (behaviour.status !== undefined) {
    const status = { "grpc-status": `${behaviour.status}`, "grpc-message": "as asked" };
    stream.respond({ ":status": 200, ...fields, ...status }, { endStream: true });
    return;
  }
  const respond = (): void => {
    stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.respond({ ":status": 200, ...fields }, { waitForTrailers: true });
  };
  const isChat = path.endsWith("Chat");
  if (isChat) respond();
  let messages = 0;
  await consume(stream, arriving, (message) => {
    messages++;
    if (isChat) stream.write(encodeMessage(message));
  });
  const seen = arriving.seen([]);
  if (behaviour.delayMs > 0) await delay(behaviour.delayMs);
  if (stream.destroyed) return;
  if (!isChat) {
    respond();
    const answers = path.endsWith("List") ? LIST_LENGTH : 1;
    for (let i = 0; i < answers; i++) stream.write(encodeMessage({ ...seen, messages, answer: i }));
  }
  stream.end();
}

function consume(
  stream: ServerHttp2Stream,
  arriving: ArrivingRequest,
  onMessage: ((message: unknown) => void) | undefined,
): Promise<void> {
  const reader = new MessageReader();
  stream.on("data", (chunk: Buffer) => {
    arriving.hash.update(chunk);
    arriving.bodyBytes += chunk.length;
    if (onMessage !== undefined) for (const message of reader.read(chunk)) onMessage(message);
  });
  return new Promise((resolve) => stream.once("end", resolve).once("close", resolve));
}
