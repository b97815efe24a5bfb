// Requests, and what goes on after their answer began, where policies forbid endpoints.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { listenOn, SampleHttpProxy, talk } from "./sample-http-proxy.ts";
import { sampleRule } from "./sample-rules.ts";
import { encodeToken } from "./route-session.ts";

const RULE = "NetworkPolicy shop/web";
const GET = "GET /a HTTP/1.1\r\nHost: web.shop\r\nConnection: close\r\n\r\n";

/** A server that answers with its name, or as it is told. */
async function serve(
  t: TestContext,
  name: string,
  answer = (response: ServerResponse): unknown => response.end(name),
): Promise<number> {
  const server = createServer((_, response) => void answer(response));
  server.on("upgrade", (_, socket) => {
    socket.on("error", () => {});
    socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n");
    socket.write("Connection: Upgrade\r\n\r\nhello");
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return await listenOn(server);
}

function start(t: TestContext, ...options: ConstructorParameters<typeof SampleHttpProxy>) {
  const proxy = new SampleHttpProxy(...options);
  t.after(() => proxy.stop());
  return proxy;
}

/** Sends a request, and waits for the first bytes that match. */
async function begin(t: TestContext, port: number, request: string, expected: RegExp) {
  const socket = connect({ port, host: "127.0.0.1" });
  t.after(() => socket.destroy());
  socket.on("error", () => {});
  socket.write(request);
  let text = "";
  while (!expected.test(text)) text += String(((await once(socket, "data")) as [Buffer])[0]);
  return socket;
}

function gone(socket: Socket): Promise<void> {
  return new Promise((resolve) => void socket.once("close", () => resolve()));
}

test("a client that may reach no endpoint is answered 403, and the record names the rule", async (t) => {
  const port = await serve(t, "web");
  const proxy = start(t, { groups: { web: [port] } });
  proxy.refused.set(port, RULE);
  assert.match(await talk(proxy.port, GET), /^HTTP\/1.1 403 [^]*denied\n$/);
  const [record] = proxy.records;
  assert.deepEqual([record?.flags, record?.rule, record?.attempts], [["denied"], RULE, 0]);
  assert.deepEqual(proxy.counts(), { denied: 1 });
  assert.deepEqual(
    proxy.denied.map(({ method, flags }) => [method, flags]),
    [["GET", ["denied"]]],
  );
});

test("gRPC is told PERMISSION_DENIED", async (t) => {
  const port = await serve(t, "web");
  const rules = [
    sampleRule({}, { backends: [{ group: "web", weight: 1, filters: [] }], grpc: true }),
  ];
  const proxy = start(t, { groups: { web: [port] }, rules });
  proxy.refused.set(port, RULE);
  assert.match(await talk(proxy.port, GET), /grpc-status: 7\r\n/);
});

test("requests go to the endpoints that are permitted, whatever a session says", async (t) => {
  const allowed = await serve(t, "allowed");
  const forbidden = await serve(t, "forbidden");
  const sessionPersistence = { kind: "header", name: "x-session", permanent: false } as const;
  const backends = [{ group: "web", weight: 1, filters: [] }];
  const rules = [sampleRule({}, { backends, sessionPersistence })];
  const proxy = start(t, { groups: { web: [forbidden, allowed] }, rules });
  const token = encodeToken({ endpoint: `127.0.0.1:${forbidden}`, startMs: Date.now() });
  const ask = (): Promise<string> =>
    talk(proxy.port, GET.replace("\r\n", `\r\nx-session: ${token}\r\n`));
  assert.match(await ask(), /forbidden$/);
  proxy.refused.set(forbidden, RULE);
  for (let i = 0; i < 4; i++) assert.match(await ask(), /allowed$/);
});

test("a kept connection to an endpoint carries nothing that is forbidden by now", async (t) => {
  const port = await serve(t, "web");
  const proxy = start(t, { groups: { web: [port] } });
  assert.match(await talk(proxy.port, GET), /web$/);
  proxy.refused.set(port, RULE);
  assert.match(await talk(proxy.port, GET), /^HTTP\/1.1 403 /);
});

test("a long answer ends with what allowed it", async (t) => {
  const port = await serve(t, "web", (response) => response.write("first"));
  const proxy = start(t, { groups: { web: [port] } });
  const socket = await begin(t, proxy.port, GET, /first/);
  proxy.parts.deadlines.rejudge();
  assert.equal(proxy.records.length, 0);
  const closed = gone(socket);
  proxy.refused.set(port, RULE);
  proxy.parts.deadlines.rejudge();
  await closed;
  const [record] = proxy.records;
  assert.deepEqual([record?.flags, record?.rule, record?.status], [["denied"], RULE, 200]);
});

test("a request that waits for its answer is answered 403", async (t) => {
  const asked = Promise.withResolvers<void>();
  const port = await serve(t, "web", () => asked.resolve());
  const proxy = start(t, { groups: { web: [port] } });
  const answer = talk(proxy.port, GET);
  await asked.promise;
  proxy.refused.set(port, RULE);
  proxy.parts.deadlines.rejudge();
  assert.match(await answer, /^HTTP\/1.1 403 /);
});

test("a WebSocket ends with what allowed it", async (t) => {
  const port = await serve(t, "web");
  const proxy = start(t, { groups: { web: [port] } });
  const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
  const request = `GET /chat HTTP/1.1\r\nHost: web.shop\r\n${upgrade}\r\n`;
  const socket = await begin(t, proxy.port, request, /hello/);
  const closed = gone(socket);
  proxy.refused.set(port, RULE);
  proxy.parts.deadlines.rejudge();
  await closed;
  assert.equal(proxy.records[0]?.protocol, "websocket");
});
