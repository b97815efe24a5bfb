// Writes of the client against a fake API server: preconditions, statuses, and the last word that a
// writer has before anything leaves.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import https from "node:https";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream";
import { test } from "node:test";
import { makeFakeClock } from "../clock/fake-clock.ts";
import { asRecord } from "./api/fields.ts";
import { type KubeClient, makeKubeClient } from "./client.ts";
import { SERVICES, serviceNamed } from "./fake-api-rig.ts";
import { FakeApiServer } from "./fake-api-server.ts";

const WEB = "/api/v1/namespaces/default/services/web";
const never = new AbortController().signal;

function clientOf(server: URL): KubeClient {
  const config = { server, token: { kind: "none" }, insecureSkipTlsVerify: false } as const;
  return makeKubeClient(config, makeFakeClock());
}

async function withServer(
  body: (client: KubeClient, server: FakeApiServer) => Promise<void>,
): Promise<void> {
  const server = await FakeApiServer.start();
  const client = clientOf(server.url);
  try {
    await body(client, server);
  } finally {
    client.close();
    await server.close();
  }
}

test("an object is replaced only by who has seen its newest version", async () => {
  await withServer(async (client, server) => {
    const old = server.put(serviceNamed("web"));
    server.put(serviceNamed("web", 81));
    const stale = client.replace(WEB, { ...old, spec: {} }, { signal: never });
    await assert.rejects(stale, { code: 409 });
    const newest = asRecord(await client.getJson(WEB, { signal: never }));
    const answer = await client.replace(WEB, { ...newest, spec: {} }, { signal: never });
    assert.deepEqual(asRecord(answer)["spec"], {});
  });
});

test("a patch of a status changes nothing else, on the condition of its version", async () => {
  await withServer(async (client, server) => {
    const { metadata, spec } = server.put(serviceNamed("web"));
    const { resourceVersion } = asRecord(metadata);
    const patch = { metadata: { resourceVersion }, spec: {}, status: { ready: true } };
    const answer = asRecord(await client.patch(`${WEB}/status`, patch, { signal: never }));
    assert.deepEqual([answer["spec"], answer["status"]], [spec, { ready: true }]);
    await assert.rejects(client.patch(`${WEB}/status`, patch, { signal: never }), { code: 409 });
  });
});

test("an object that is there cannot be created, and one that is not cannot be patched", async () => {
  await withServer(async (client, server) => {
    server.put(serviceNamed("web"));
    const collection = WEB.slice(0, WEB.lastIndexOf("/"));
    const again = client.create(collection, serviceNamed("web"), { signal: never });
    await assert.rejects(again, { code: 409 });
    await assert.rejects(client.patch(`${WEB}-2`, {}, { signal: never }), { code: 404 });
  });
});

test("a write that is not permitted never leaves, on a new connection as on a used one", async () => {
  await withServer(async (client, server) => {
    server.put(serviceNamed("web"));
    for (let connection = 0; connection < 2; connection++) {
      const options = { signal: never, permit: () => false };
      await assert.rejects(client.patch(WEB, {}, options), { code: "NOT_PERMITTED" });
      await assert.rejects(client.replace(WEB, {}, options), { code: "NOT_PERMITTED" });
      await client.getJson(SERVICES, { signal: never });
    }
    assert.deepEqual(server.writes, []);
    await client.patch(WEB, { spec: {} }, { signal: never, permit: () => true });
    assert.equal(server.writes.length, 1);
  });
});

test("the permit is asked after the handshake, which may last, and is the last word", async () => {
  const testdata = (name: string): string =>
    readFileSync(join(import.meta.dirname, "testdata", name), "utf8");
  const identity = { key: testdata("server.key"), cert: testdata("server.crt") };
  let answered = 0;
  const server = https.createServer(identity, (_, response) => response.end(`${++answered}`));
  const port = await listen(server);
  let shook = false;
  const door = createServer((socket) => {
    socket.once("data", () => (shook = true));
    pipeline(socket, connect(port, "127.0.0.1"), socket, () => {});
  });
  const config = { token: { kind: "none" }, insecureSkipTlsVerify: true } as const;
  const url = new URL(`https://127.0.0.1:${await listen(door)}`);
  const client = makeKubeClient({ server: url, ...config }, makeFakeClock());
  const asked: boolean[] = [];
  const write = (permitted: boolean): Promise<unknown> => {
    const permit = (): boolean => {
      asked.push(shook);
      return permitted;
    };
    return client.patch("/x", {}, { signal: never, permit });
  };
  try {
    assert.equal(await write(true), 1);
    await assert.rejects(write(false), { code: "NOT_PERMITTED" });
    assert.deepEqual([asked, answered], [[true, true], 1]);
  } finally {
    client.close();
    server.close();
    door.close();
    server.closeAllConnections();
  }
});

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return address.port;
}
