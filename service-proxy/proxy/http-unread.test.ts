// Clients that ask and do not read: how long an endpoint is kept for them.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { listenOn, SampleHttpProxy } from "./sample-http-proxy.ts";

const PIECE = Buffer.alloc(65_536);
const STEADY_MS = 50;
const FIVE_MINUTES_MS = 300_000;

/** A client that has asked for much and reads nothing. */
async function unread(t: TestContext): Promise<SampleHttpProxy> {
  let sentBytes = (): number => 0;
  const server = createServer((_, response) => {
    sentBytes = () => response.socket?.bytesWritten ?? 0;
    sendSteadily(response);
  });
  const proxy = new SampleHttpProxy({ groups: { web: [await listenOn(server)] } });
  const client = connect({ port: proxy.port, host: "127.0.0.1" }).pause();
  client.on("error", () => {});
  t.after(() => {
    client.destroy();
    proxy.stop();
    server.closeAllConnections();
    server.close();
  });
  await once(client, "connect");
  client.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
  // Until all buffers on the way are full.
  for (let before = -1; sentBytes() === 0 || sentBytes() !== before; await delay(STEADY_MS)) {
    before = sentBytes();
  }
  return proxy;
}

function sendSteadily(response: ServerResponse): void {
  while (response.write(PIECE));
  response.once("drain", () => sendSteadily(response));
}

test("a response that nobody reads is given up after five minutes; no endpoint is blamed", async (t) => {
  const proxy = await unread(t);
  proxy.elapse(FIVE_MINUTES_MS);
  const [record] = proxy.records;
  assert.deepEqual(record?.flags, ["cancelled"]);
});
