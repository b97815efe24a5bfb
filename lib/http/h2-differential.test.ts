// Both roles against nghttp2, through Node's http2 and real sockets on loopback.

import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { buffer } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { H2Connection } from "./h2-connection.ts";
import { H2_ERROR } from "./h2-frame.ts";
import type { H2ClientHandler, H2Role, H2ServerHandler } from "./h2-handler.ts";
import type { H2ResponseHead } from "./h2-head.ts";
import { DEFAULT_H2_LIMITS } from "./h2-limits.ts";
import type { FieldLines } from "./message.ts";

/** Gives a connection a socket. Bytes arrive through one buffer that is overwritten each time. */
function attach(socket: net.Socket, role: H2Role): H2Connection {
  const output = (bytes: Buffer, start: number, end: number): void => {
    socket.write(Buffer.from(bytes.subarray(start, end)));
  };
  const connection = new H2Connection(role, output, DEFAULT_H2_LIMITS);
  const shared = Buffer.alloc(65_536);
  socket.setNoDelay(true);
  socket.on("data", (bytes: Buffer) => {
    for (let at = 0; at < bytes.length; at += shared.length) {
      const length = bytes.copy(shared, 0, at);
      connection.receive(shared, 0, length, performance.now());
      shared.fill(0xaa);
    }
  });
  socket.on("error", () => undefined);
  connection.start();
  return connection;
}

/** What waits for windows: whole bodies, and their trailers. */
class Sender {
  readonly #connection: () => H2Connection;
  readonly #waiting = new Map<number, { bytes: Buffer; trailers: FieldLines }>();

  constructor(connection: () => H2Connection) {
    this.#connection = connection;
  }

  send(streamId: number, bytes: Buffer, trailers: FieldLines): void {
    const endStream = trailers.length === 0;
    const taken = this.#connection().data(streamId, bytes, 0, bytes.length, endStream);
    this.#waiting.delete(streamId);
    if (taken < bytes.length) {
      this.#waiting.set(streamId, { bytes: bytes.subarray(taken), trailers });
    } else if (!endStream) {
      this.#connection().trailers(streamId, trailers);
    }
  }

  resume(streamId: number): void {
    const rest = this.#waiting.get(streamId);
    if (rest !== undefined) this.send(streamId, rest.bytes, rest.trailers);
  }
}

/** Collects bodies of streams and gives their credit back. */
class Bodies {
  readonly #pieces = new Map<number, Buffer[]>();
  readonly #connection: () => H2Connection;

  constructor(connection: () => H2Connection) {
    this.#connection = connection;
  }

  add(streamId: number, bytes: Buffer, start: number, end: number): void {
    const pieces = this.#pieces.get(streamId) ?? [];
    this.#pieces.set(streamId, [...pieces, Buffer.from(bytes.subarray(start, end))]);
    this.#connection().consumed(streamId, end - start);
  }

  take(streamId: number): Buffer {
    const body = Buffer.concat(this.#pieces.get(streamId) ?? []);
    this.#pieces.delete(streamId);
    return body;
  }
}

/** Answers with what it was sent: path and a field in fields, the body as body, and trailers. */
function makeEcho(connection: () => H2Connection): H2ServerHandler {
  const bodies = new Bodies(connection);
  const sender = new Sender(connection);
  const answer = (streamId: number): void =>
    sender.send(streamId, bodies.take(streamId), ["x-end", "yes"]);
  return {
    onRequest: (streamId, { path, fields }, endStream) => {
      const echoed = fields.flatMap((name, i) =>
        name === "x-echo" ? [name, fields[i + 1] ?? ""] : [],
      );
      connection().respond(streamId, { status: 103, fields: ["link", "</>"] }, false);
      connection().respond(streamId, { status: 200, fields: ["x-path", path, ...echoed] }, false);
      if (endStream) answer(streamId);
    },
    onData: (streamId, bytes, start, end, endStream) => {
      bodies.add(streamId, bytes, start, end);
      if (endStream) answer(streamId);
    },
    onTrailers: answer,
    onReset: (streamId) => connection().release(streamId),
    onWindow: (streamId) => sender.resume(streamId),
    onGoAway: () => undefined,
    onPong: () => undefined,
    onClosed: () => undefined,
  };
}

async function listen(t: TestContext, server: net.Server | http2.Http2Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const address = server.address();
  assert(address !== null && typeof address !== "string");
  return address.port;
}

async function serveOurs(t: TestContext): Promise<{ port: number; connections: H2Connection[] }> {
  const connections: H2Connection[] = [];
  const server = net.createServer((socket) => {
    const handler = makeEcho(() => connection);
    const connection: H2Connection = attach(socket, {
      kind: "server",
      handler: {
        ...handler,
        onClosed: () => socket.end(),
      },
    });
    connections.push(connection);
  });
  return { port: await listen(t, server), connections };
}

function connectNode(t: TestContext, port: number): http2.ClientHttp2Session {
  const session = http2.connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 100 });
  t.after(() => session.destroy());
  return session;
}

const SIZES = [0, 1, 5, 16_384, 16_385, 70_000, 300_000, 1_500_000];
const bodyOf = (lengthBytes: number): Buffer =>
  Buffer.alloc(lengthBytes, Buffer.from(Array.from({ length: 251 }, (_, i) => i)));

test("Node's client and our server: bodies, interim heads and trailers, all at once", async (t) => {
  const { port } = await serveOurs(t);
  const session = connectNode(t, port);
  const exchanges = Array.from({ length: 60 }, async (_, i) => {
    const body = bodyOf(SIZES[i % SIZES.length] ?? 0);
    const stream = session.request({
      ":method": "POST",
      ":path": `/${i}?x=%20`,
      "x-echo": `v${"v".repeat(i * 10)} \u00e4`,
      cookie: ["a=1", "b=2"],
      authorization: "secret",
    });
    const interim: unknown[] = [];
    stream.on("headers", (head) => interim.push(head[":status"]));
    const trailers = once(stream, "trailers");
    const response = once(stream, "response");
    stream.end(body);
    const [head] = await response;
    assert.equal(head[":status"], 200);
    assert.equal(head["x-path"], `/${i}?x=%20`);
    assert.equal(head["x-echo"], `v${"v".repeat(i * 10)} \u00e4`);
    assert(body.equals(await buffer(stream)));
    assert.deepEqual(interim, [103]);
    assert.equal((await trailers)[0]["x-end"], "yes");
  });
  await Promise.all(exchanges);
  session.close();
  await once(session, "close");
});

test("Node's client and our server: cancelled streams cost the others nothing", async (t) => {
  const { port, connections } = await serveOurs(t);
  const session = connectNode(t, port);
  const exchanges = Array.from({ length: 80 }, async (_, i) => {
    const stream = session.request({ ":method": "POST", ":path": "/" });
    stream.on("error", () => undefined);
    stream.write("begun");
    if (i % 2 === 0) return stream.close(http2.constants.NGHTTP2_CANCEL);
    stream.end();
    assert.equal((await buffer(stream)).toString(), "begun");
    return undefined;
  });
  await Promise.all(exchanges);
  await new Promise((resolve) => session.ping(resolve));
  assert.equal(connections[0]?.busyStreams, 0);
  session.close();
});

test("Node's client and our server: a drain ends all that was begun, and then the connection", async (t) => {
  const { port, connections } = await serveOurs(t);
  const session = connectNode(t, port);
  const stream = session.request({ ":method": "POST", ":path": "/" });
  await once(stream, "response");
  const told = once(session, "goaway");
  const closed = once(session, "close");
  connections[0]?.drain();
  await told;
  stream.end("late");
  assert.equal((await buffer(stream)).toString(), "late");
  await closed;
});

interface Answer {
  readonly heads: readonly H2ResponseHead[];
  readonly body: Buffer;
  readonly trailers: FieldLines;
}

interface Client {
  readonly connection: H2Connection;
  readonly fetch: (path: string, body: Buffer) => Promise<Answer>;
  /** Codes of resets, in order. */
  readonly resets: readonly number[];
  readonly closed: Promise<unknown>;
}

function connectOurs(t: TestContext, port: number): Client {
  const socket = net.connect(port, "127.0.0.1");
  t.after(() => socket.destroy());
  const bodies = new Bodies(() => connection);
  const sender = new Sender(() => connection);
  const waiting = new Map<number, { heads: H2ResponseHead[]; settle: (answer: Answer) => void }>();
  const resets: number[] = [];
  const end = (streamId: number, trailers: FieldLines): void => {
    const { heads = [], settle } = waiting.get(streamId) ?? {};
    settle?.({ heads, body: bodies.take(streamId), trailers });
  };
  const handler: H2ClientHandler = {
    onResponse: (streamId, head, endStream) => {
      waiting.get(streamId)?.heads.push(head);
      if (endStream) end(streamId, []);
    },
    onData: (streamId, bytes, start, last, endStream) => {
      bodies.add(streamId, bytes, start, last);
      if (endStream) end(streamId, []);
    },
    onTrailers: end,
    onReset: (_, code) => resets.push(code),
    onRefused: () => resets.push(H2_ERROR.refusedStream),
    onWindow: (streamId) => sender.resume(streamId),
    onGoAway: () => undefined,
    onPong: () => undefined,
    onClosed: () => socket.end(),
  };
  const connection = attach(socket, { kind: "client", handler });
  const fetch = (path: string, body: Buffer): Promise<Answer> => {
    const head = { method: "POST", authority: "localhost", path, fields: ["x-echo", path] };
    const streamId = connection.open(head, "http", false);
    assert(streamId !== undefined);
    const { promise, resolve } = Promise.withResolvers<Answer>();
    waiting.set(streamId, { heads: [], settle: resolve });
    sender.send(streamId, body, ["x-sum", String(body.length)]);
    return promise;
  };
  return { connection, fetch, resets, closed: once(socket, "close") };
}

async function serveNode(t: TestContext): Promise<number> {
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
    stream.on("error", () => undefined);
    if (headers[":path"] === "/reset") return stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    const trailers = once(stream, "trailers");
    stream.additionalHeaders({ ":status": 103 });
    stream.respond({ ":status": 200, "x-echo": headers["x-echo"] }, { waitForTrailers: true });
    stream.on("wantTrailers", () => {
      void trailers.then(([fields]) => stream.sendTrailers({ "x-sum": fields["x-sum"] }));
    });
    stream.pipe(stream);
    return undefined;
  });
  return listen(t, server);
}

test("our client and Node's server: bodies, interim heads and trailers, all at once", async (t) => {
  const { connection, fetch, closed } = connectOurs(t, await serveNode(t));
  for (let round = 0; round < 3; round++) {
    const exchanges = Array.from({ length: 60 }, async (_, i) => {
      const body = bodyOf(SIZES[i % SIZES.length] ?? 0);
      const answer = await fetch(`/${i}`, body);
      assert.deepEqual(
        answer.heads.map(({ status }) => status),
        [103, 200],
      );
      assert.equal(answer.heads[1]?.fields.includes(`/${i}`), true);
      assert(body.equals(answer.body));
      assert.deepEqual(answer.trailers, ["x-sum", String(body.length)]);
    });
    await Promise.all(exchanges);
  }
  assert.equal(connection.busyStreams, 0);
  connection.drain();
  await closed;
});

test("our client and Node's server: a reset is heard, the connection goes on", async (t) => {
  const { connection, fetch, resets } = connectOurs(t, await serveNode(t));
  void fetch("/reset", Buffer.from("x"));
  assert.equal((await fetch("/fine", Buffer.from("x"))).body.toString(), "x");
  assert.deepEqual(resets, [H2_ERROR.internal]);
  connection.goAway(H2_ERROR.noError);
});
