// Clients that ask and do not read: how long an endpoint is kept for them, and what else is.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { MUCH_KEPT_BYTES } from "../../lib/reactor/reactor.ts";
import { listenOn, SampleHttpProxy } from "./sample-http-proxy.ts";

const PIECE = Buffer.alloc(65_536);
const STEADY_MS = 50;
const FIVE_MINUTES_MS = 300_000;

/** Asks for much and reads nothing. @returns what ends the connection */
type Ask = (port: number) => Promise<() => void>;

const askHttp1: Ask = async (port) => {
  const client = connect({ port, host: "127.0.0.1" }).pause();
  client.on("error", () => {});
  await once(client, "connect");
  client.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
  return () => client.destroy();
};

/** Windows close: it is the proxy that has to wait. */
const askHttp2: Ask = async (port) => {
  const session = connectHttp2(`http://127.0.0.1:${port}`).on("error", () => {});
  const stream = session.request({ ":path": "/" }).on("error", () => {});
  await once(stream, "response");
  return () => session.destroy();
};

/** A client that has asked for much and reads nothing. */
async function unread(t: TestContext, ask: Ask = askHttp1) {
  let sentBytes = (): number => 0;
  const server = createServer((_, response) => {
    sentBytes = () => response.socket?.bytesWritten ?? 0;
    sendSteadily(response);
  });
  const proxy = new SampleHttpProxy({ groups: { web: [await listenOn(server)] } });
  const end = await ask(proxy.port);
  t.after(() => {
    end();
    proxy.stop();
    server.closeAllConnections();
    server.close();
  });
  // Until all buffers on the way are full.
  for (let before = -1; sentBytes() === 0 || sentBytes() !== before; await delay(STEADY_MS)) {
    before = sentBytes();
  }
  return { proxy, end };
}

function sendSteadily(response: ServerResponse): void {
  while (response.write(PIECE));
  response.once("drain", () => sendSteadily(response));
}

test("a response that nobody reads is given up after five minutes; no endpoint is blamed", async (t) => {
  const { proxy } = await unread(t);
  proxy.elapse(FIVE_MINUTES_MS);
  const [record] = proxy.records;
  assert.deepEqual(record?.flags, ["cancelled"]);
});

for (const [name, ask] of [
  ["HTTP/1.1", askHttp1],
  ["HTTP/2", askHttp2],
] as const) {
  test(`${name}: what is kept for a client that does not read is counted, and forgotten with it`, async (t) => {
    const { proxy, end } = await unread(t, ask);
    const { reactor } = proxy.parts;
    const { length } = reactor.readBuffer;
    // With this much more, each byte that is kept makes reads small.
    reactor.kept(MUCH_KEPT_BYTES - 1);
    assert(reactor.readBuffer.length < length);
    end();
    while (proxy.connections.size > 0) await delay(1);
    assert.equal(reactor.readBuffer.length, length);
    reactor.kept(1);
    assert(reactor.readBuffer.length < length);
  });
}
