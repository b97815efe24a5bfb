import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { listenOn, SampleHttpProxy } from "./sample-http-proxy.ts";

/** A server that remembers its connections, and a proxy in front of it. */
async function start(
  t: TestContext,
  answer = (_: IncomingMessage, response: ServerResponse) => void response.end("ok"),
): Promise<{ proxy: SampleHttpProxy; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createServer(answer);
  server.on("connection", (socket: Socket) => void sockets.push(socket));
  const port = await listenOn(server);
  const proxy = new SampleHttpProxy({ groups: { web: [port] } });
  t.after(() => {
    proxy.stop();
    server.closeAllConnections();
    server.close();
  });
  return { proxy, sockets };
}

const GET = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
const POST = "POST / HTTP/1.1\r\nHost: web\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

async function ask({ port }: SampleHttpProxy, from: string, request = GET): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1", localAddress: from });
  socket.resume();
  socket.write(request);
  await once(socket, "close");
}

test("a connection is used again, for the same source address only", async (t) => {
  const { proxy, sockets } = await start(t);
  await ask(proxy, "127.0.0.2");
  await ask(proxy, "127.0.0.2");
  assert.equal(sockets.length, 1);
  await ask(proxy, "127.0.0.3");
  assert.equal(sockets.length, 2);
  await ask(proxy, "127.0.0.2", POST);
  await ask(proxy, "127.0.0.3");
  assert.equal(sockets.length, 2);
});

test("idle connections are closed before servers commonly do", async (t) => {
  const { proxy, sockets } = await start(t);
  await ask(proxy, "127.0.0.2");
  const [socket] = sockets;
  assert(socket !== undefined);
  proxy.elapse(49_000);
  await ask(proxy, "127.0.0.2");
  assert.equal(sockets.length, 1);
  proxy.elapse(51_000);
  await once(socket, "close");
  await ask(proxy, "127.0.0.2");
  assert.equal(sockets.length, 2);
});

test("a plan without an endpoint closes the idle connections to it", async (t) => {
  const { proxy, sockets } = await start(t);
  await ask(proxy, "127.0.0.2");
  const [socket] = sockets;
  assert(socket !== undefined);
  proxy.replan("web", []);
  await once(socket, "close");
});

test("a connection to an endpoint that left the plan is closed after its request", async (t) => {
  const asked = Promise.withResolvers<ServerResponse>();
  const { proxy, sockets } = await start(t, (_, response) => {
    asked.resolve(response);
  });
  const answered = ask(proxy, "127.0.0.2");
  const response = await asked.promise;
  const [socket] = sockets;
  assert(socket !== undefined);
  const closed = once(socket, "close");
  proxy.replan("web", []);
  response.end("ok");
  await answered;
  await closed;
});

test("a connection that its server says it will close is not kept", async (t) => {
  const { proxy, sockets } = await start(t, (_, response) => {
    response.setHeader("connection", "close");
    response.end();
  });
  await ask(proxy, "127.0.0.2");
  await ask(proxy, "127.0.0.2");
  assert.equal(sockets.length, 2);
});
