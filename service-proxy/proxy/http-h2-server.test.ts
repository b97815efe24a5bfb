import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { connect as connectTcp } from "node:net";
import { type TestContext, test } from "node:test";
import { listenOn, SampleHttpProxy, talk } from "./sample-http-proxy.ts";
import { sampleRule } from "./sample-rules.ts";

type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

async function http2Server(t: TestContext, onStream: OnStream): Promise<number> {
  const server = createServer({ settings: { enableConnectProtocol: true } });
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => void sessions.add(session));
  server.on("stream", onStream);
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return await listenOn(server);
}

function proxyTo(
  t: TestContext,
  port: number,
  options: Partial<ConstructorParameters<typeof SampleHttpProxy>[0]> = {},
): SampleHttpProxy {
  const proxy = new SampleHttpProxy({ groups: { web: [port] }, protocol: "http2", ...options });
  t.after(() => proxy.stop());
  return proxy;
}

function clientOf(t: TestContext, { port }: { readonly port: number }): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${port}`);
  t.after(() => session.destroy());
  return session;
}

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}

async function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: Buffer | string,
): Promise<Answer> {
  const stream = session.request(headers, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  let answer: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const chunks: Buffer[] = [];
  stream.on("response", (received) => (answer = received));
  stream.on("trailers", (received) => (trailers = received));
  stream.on("data", (chunk: Buffer) => void chunks.push(chunk));
  await once(stream, "end");
  return { headers: answer, trailers, body: Buffer.concat(chunks) };
}

const grpc: OnStream = (stream) => {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => void chunks.push(chunk));
  stream.on("end", () => {
    stream.respond(
      { ":status": 200, "content-type": "application/grpc" },
      { waitForTrailers: true },
    );
    stream.on("wantTrailers", () =>
      stream.sendTrailers({ "grpc-status": "5", "grpc-message": "x" }),
    );
    stream.end(Buffer.concat(chunks));
  });
};

const GRPC = {
  ":method": "POST",
  ":path": "/a.B/C",
  "content-type": "application/grpc",
  te: "trailers",
};

test("gRPC goes through with its trailers, and its status counts", async (t) => {
  const proxy = proxyTo(t, await http2Server(t, grpc));
  const { headers, trailers, body } = await ask(clientOf(t, proxy), GRPC, "hello");
  assert.equal(headers[":status"], 200);
  assert.equal(body.toString(), "hello");
  assert.equal(trailers["grpc-status"], "5");
  assert.deepEqual(proxy.counts(), { "4xx": 1 });
  assert.equal(proxy.records.at(-1)?.protocol, "grpc");
});

test("requests of one connection go side by side, on one connection to the endpoint", async (t) => {
  const sessions = new Set<unknown>();
  const waiting: ServerHttp2Stream[] = [];
  const port = await http2Server(t, (stream) => {
    sessions.add(stream.session);
    waiting.push(stream);
    if (waiting.length < 50) return;
    for (const one of waiting) {
      one.respond({ ":status": 200 });
      one.end("all");
    }
  });
  const session = clientOf(t, proxyTo(t, port));
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => ask(session, { ":path": "/" })),
  );
  assert(answers.every(({ body }) => body.toString() === "all"));
  assert.equal(sessions.size, 1);
});

test("errors of a gRPC route are gRPC statuses", async (t) => {
  const rules = [
    sampleRule({ path: { kind: "exact", value: "/a.B/C" } }, { grpc: true, backends: [] }),
  ];
  const session = clientOf(t, proxyTo(t, 1, { rules }));
  const unavailable = await ask(session, GRPC, "");
  assert.equal(unavailable.headers[":status"], 200);
  assert.equal(unavailable.headers["grpc-status"], "14");
  const unimplemented = await ask(session, { ...GRPC, ":path": "/a.B/D" }, "");
  assert.equal(unimplemented.headers["grpc-status"], "12");
  assert.equal((await ask(session, { ":path": "/" })).headers[":status"], 404);
});

test("an HTTP/2 client reaches an HTTP/1.1 endpoint", async (t) => {
  const server = createHttpServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      if (request.method === "HEAD") return void response.end();
      response.setHeader("trailer", "x-sum");
      response.write(
        `${request.method} ${request.headers.host} ${String(request.headers.te)} ${body}`,
      );
      response.addTrailers({ "x-sum": "1" });
      response.end();
    });
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const proxy = proxyTo(t, await listenOn(server), { protocol: "http1" });
  const session = clientOf(t, proxy);
  const { body, trailers } = await ask(session, { ...GRPC, ":authority": "web" }, "in");
  assert.equal(body.toString(), "POST web undefined in");
  assert.equal(trailers["x-sum"], "1");
  assert.equal((await ask(session, { ":path": "/", ":method": "HEAD" })).headers[":status"], 200);
});

test("an HTTP/1.1 client reaches an HTTP/2 endpoint", async (t) => {
  const proxy = proxyTo(t, await http2Server(t, grpc));
  const answer = await talk(
    proxy.port,
    "POST / HTTP/1.1\r\nHost: web\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
  );
  assert.match(answer, /^HTTP\/1.1 200 [^]*\r\n2\r\nhi\r\n0\r\ngrpc-status: 5\r\n/);
});

test("large bodies cross windows of both sides, slow readers included", async (t) => {
  const big = Buffer.alloc(3 << 20, "0123456789abcdef");
  const port = await http2Server(t, (stream) => {
    const chunks: Buffer[] = [];
    stream.pause();
    setTimeout(() => stream.resume(), 20);
    stream.on("data", (chunk: Buffer) => void chunks.push(chunk));
    stream.on("end", () => {
      stream.respond({ ":status": 200 });
      stream.end(Buffer.concat(chunks));
    });
  });
  const session = clientOf(t, proxyTo(t, port));
  const answers = await Promise.all([1, 2, 3].map(() => ask(session, GRPC, big)));
  for (const { body } of answers) assert(body.equals(big));
});

test("a stream that the client resets is reset at the endpoint; others go on", async (t) => {
  const closed = Promise.withResolvers<number>();
  const port = await http2Server(t, (stream, headers) => {
    stream.on("error", () => {});
    if (headers[":path"] === "/hang") stream.on("close", () => closed.resolve(stream.rstCode));
    else {
      stream.respond({ ":status": 200 });
      stream.end("ok");
    }
  });
  const proxy = proxyTo(t, port);
  const session = clientOf(t, proxy);
  const hanging = session.request({ ":path": "/hang" });
  hanging.on("error", () => {});
  assert.equal((await ask(session, { ":path": "/" })).body.toString(), "ok");
  hanging.close(8);
  assert.equal(await closed.promise, 8);
  assert.equal((await ask(session, { ":path": "/" })).body.toString(), "ok");
  assert.deepEqual(proxy.counts(), { "2xx": 2, cancelled: 1 });
});

test("a stream that the endpoint refuses is sent again, a POST too", async (t) => {
  let count = 0;
  const port = await http2Server(t, (stream) => {
    stream.on("error", () => {});
    if (++count === 1) return stream.close(7);
    stream.respond({ ":status": 200 });
    return stream.end("second");
  });
  const proxy = proxyTo(t, port);
  const { body } = await ask(clientOf(t, proxy), GRPC, "body");
  assert.equal(body.toString(), "second");
  assert.equal(proxy.counts().retries, 1);
});

test("an endpoint that breaks a response off resets the client's stream only", async (t) => {
  const port = await http2Server(t, (stream, headers) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200 });
    if (headers[":path"] === "/broken") {
      stream.write("half");
      setTimeout(() => stream.destroy(new Error("broken")), 5);
    } else stream.end("ok");
  });
  const session = clientOf(t, proxyTo(t, port));
  const broken = session.request({ ":path": "/broken" });
  broken.on("data", () => {});
  const [error] = await once(broken, "error");
  assert.match(error.message, /INTERNAL_ERROR/);
  assert.equal((await ask(session, { ":path": "/" })).body.toString(), "ok");
});

test("draining ends a connection after its streams", async (t) => {
  const asked = Promise.withResolvers<ServerHttp2Stream>();
  const proxy = proxyTo(t, await http2Server(t, (stream) => asked.resolve(stream)));
  const session = clientOf(t, proxy);
  const answer = ask(session, { ":path": "/" });
  const stream = await asked.promise;
  const goaway = once(session, "goaway");
  for (const connection of proxy.connections) connection.drain();
  await goaway;
  stream.respond({ ":status": 200 });
  stream.end("last");
  assert.equal((await answer).body.toString(), "last");
  await once(session, "close");
});

test("a WebSocket of HTTP/2 becomes an upgrade of HTTP/1.1", async (t) => {
  const server = createHttpServer();
  server.on("upgrade", (request, socket) => {
    const key = request.headers["sec-websocket-key"];
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n" +
        `Upgrade: websocket\r\nx-key: ${key}\r\n\r\n`,
    );
    socket.pipe(socket);
  });
  t.after(() => server.close());
  const proxy = proxyTo(t, await listenOn(server), { protocol: "http1" });
  const session = clientOf(t, proxy);
  await once(session, "remoteSettings");
  const stream = session.request(
    { ":method": "CONNECT", ":protocol": "websocket", ":path": "/", ":scheme": "http" },
    { endStream: false },
  );
  const [headers] = await once(stream, "response");
  assert.equal(headers[":status"], 200);
  assert.match(headers["x-key"], /^[A-Za-z0-9+/]{22}==$/);
  stream.write("ping");
  const [chunk] = await once(stream, "data");
  assert.equal(chunk.toString(), "ping");
  stream.end();
  await once(stream, "close");
});

test("a WebSocket of HTTP/1.1 becomes an extended CONNECT of HTTP/2", async (t) => {
  const port = await http2Server(t, (stream, headers) => {
    stream.on("error", () => {});
    if (headers[":protocol"] === undefined) {
      stream.respond({ ":status": 200 });
      return stream.end();
    }
    stream.respond({ ":status": 200 });
    return stream.pipe(stream);
  });
  const proxy = proxyTo(t, port);
  const socket = connectTcp({ port: proxy.port, host: "127.0.0.1" });
  socket.write(
    "GET / HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString();
    if (text.endsWith("\r\n\r\n")) socket.write("ping");
    if (text.endsWith("ping")) socket.end();
  });
  await once(socket, "close");
  assert.match(
    text,
    /^HTTP\/1.1 101 [^]*sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=[^]*ping$/,
  );
});
