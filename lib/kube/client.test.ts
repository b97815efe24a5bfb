// One request at a time against a real HTTP server.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { TLSSocket } from "node:tls";
import { makeFakeClock } from "../clock/fake-clock.ts";
import { HEAD_TIMEOUT_MS, type KubeClient, makeKubeClient } from "./client.ts";
import { SERVICES, serviceNamed } from "./fake-api-rig.ts";
import { type FakeApiOptions, FakeApiServer } from "./fake-api-server.ts";
import { KubeApiError } from "./kube-api-error.ts";
import type { ClientConfig } from "./kubeconfig.ts";

const PLAIN = { token: { kind: "none" }, insecureSkipTlsVerify: false } as const;
const never = new AbortController().signal;
const testdata = (name: string): string =>
  readFileSync(join(import.meta.dirname, "testdata", name), "utf8");

async function withServer(
  options: FakeApiOptions,
  config: Partial<ClientConfig>,
  body: (client: KubeClient, server: FakeApiServer) => Promise<void>,
): Promise<void> {
  const server = await FakeApiServer.start(options);
  const client = makeKubeClient({ server: server.url, ...PLAIN, ...config }, makeFakeClock());
  try {
    await body(client, server);
  } finally {
    client.close();
    await server.close();
  }
}

async function failureOf(promise: Promise<unknown>): Promise<KubeApiError> {
  const error: unknown = await promise.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  assert.ok(error instanceof KubeApiError);
  return error;
}

test("a list is fetched with its query", async () => {
  await withServer({}, {}, async (client, server) => {
    server.put(serviceNamed("web"));
    const query = { labelSelector: "!a/b", limit: "1" };
    const list = await client.getJson(SERVICES, { query, signal: never });
    assert.match(JSON.stringify(list), /"name":"web"/);
    assert.deepEqual(server.requests[0]?.query, query);
  });
});

test("an IPv6 server is reached", async () => {
  await withServer({ host: "::1" }, {}, async (client, server) => {
    assert.match(server.url.host, /^\[::1\]/);
    assert.ok(await client.getJson(SERVICES, { signal: never }));
  });
});

test("a created object comes back as the server stored it", async () => {
  await withServer({}, {}, async (client, server) => {
    const event = { kind: "Event", metadata: { name: "started" }, reason: "Starting" };
    const created = await client.create("/api/v1/events", event, { signal: never });
    assert.match(JSON.stringify(created), /"uid":/);
    assert.equal(server.state.objects("/api/v1/events").size, 1);
  });
});

test("what the server refuses is told with its status, reason and wish to wait", async () => {
  await withServer({}, {}, async (client, server) => {
    const fault = { kind: "status", code: 429, retryAfterSeconds: 3 } as const;
    server.inject({ path: SERVICES, verb: "list", times: 1, fault });
    const error = await failureOf(client.getJson(SERVICES, { signal: never }));
    assert.deepEqual([error.code, error.reason, error.retryAfterMs], [429, "Injected", 3_000]);
    assert.match(error.message, /^Cannot GET \/api\/v1\/services: server answered 429/);
  });
});

test("a server that is not there is told by errno", async () => {
  const server = await FakeApiServer.start();
  const { url } = server;
  await server.close();
  const client = makeKubeClient({ server: url, ...PLAIN }, makeFakeClock());
  const error = await failureOf(client.getJson(SERVICES, { signal: never }));
  assert.deepEqual([error.code, error.reason], ["ECONNREFUSED", "Network"]);
});

test("a server that never answers is given up after the deadline", async () => {
  const server = await FakeApiServer.start();
  const fault = { kind: "silence" } as const;
  server.inject({ path: SERVICES, verb: "watch", times: 1, fault });
  const clock = makeFakeClock();
  const client = makeKubeClient({ server: server.url, ...PLAIN }, clock);
  const query = { watch: "true" };
  const stream = failureOf(client.openStream(SERVICES, { query, signal: never }));
  await clock.advance(HEAD_TIMEOUT_MS);
  assert.equal((await stream).code, "ETIMEDOUT");
  client.close();
  await server.close();
});

test("an aborted request and an aborted stream end", async () => {
  await withServer({}, {}, async (client) => {
    const stop = new AbortController();
    const query = { watch: "true" };
    const body = await client.openStream(SERVICES, { query, signal: stop.signal });
    const reading = (async () => {
      for await (const chunk of body) assert.ok(chunk);
    })();
    stop.abort();
    await assert.rejects(reading);
    await failureOf(client.getJson(SERVICES, { signal: stop.signal }));
  });
});

test("F9: a token that was replaced on disk is read again on 401, and never told", async () => {
  const folder = await mkdtemp(join(tmpdir(), "im-client-"));
  const path = join(folder, "token");
  let valid = "first";
  await writeFile(path, "first");
  const config = { token: { kind: "file", path } } as const;
  await withServer({ token: () => valid }, config, async (client, server) => {
    assert.ok(await client.getJson(SERVICES, { signal: never }));
    valid = "second";
    await writeFile(path, "second\n");
    assert.ok(await client.getJson(SERVICES, { signal: never }));
    const sent = server.requests.map(({ authorization }) => authorization);
    assert.deepEqual(sent, ["Bearer first", "Bearer first", "Bearer second"]);
    valid = "third";
    const error = await failureOf(client.getJson(SERVICES, { signal: never }));
    assert.equal(error.code, 401);
    assert.ok(!`${error.message} ${error.stack}`.includes("second"));
    assert.equal(server.requests.length, 4, "an unchanged token is not sent twice");
  });
  await rm(folder, { recursive: true });
});

/** An API server that tells the caller the name on its certificate. */
async function startTlsServer(): Promise<{ readonly url: URL } & AsyncDisposable> {
  const identity = { key: testdata("server.key"), cert: testdata("server.crt") };
  const demand = { ca: testdata("ca.crt"), requestCert: true, rejectUnauthorized: true };
  const server = https.createServer({ ...identity, ...demand }, ({ socket }, response) => {
    assert.ok(socket instanceof TLSSocket);
    response.end(JSON.stringify({ caller: socket.getPeerCertificate().subject.CN }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return {
    url: new URL(`https://127.0.0.1:${address.port}`),
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

test("TLS: authority, server name and client certificate are all checked", async () => {
  await using server = await startTlsServer();
  const ca = { ca: testdata("ca.crt") };
  const name = { tlsServerName: "api.test" };
  const identity = {
    clientCertificate: { cert: testdata("client.crt"), key: testdata("client.key") },
  };
  const get = async (config: Partial<ClientConfig>): Promise<unknown> => {
    const client = makeKubeClient({ server: server.url, ...PLAIN, ...config }, makeFakeClock());
    try {
      return await client.getJson("/", { signal: never });
    } finally {
      client.close();
    }
  };
  const caller = { caller: "client" };
  assert.deepEqual(await get({ ...ca, ...name, ...identity }), caller);
  assert.deepEqual(await get({ ...ca, ...identity, insecureSkipTlsVerify: true }), caller);
  assert.match((await failureOf(get({ ...name, ...identity }))).message, /certificate/);
  const wrongName = await failureOf(get({ ...ca, ...identity }));
  assert.equal(wrongName.code, "ERR_TLS_CERT_ALTNAME_INVALID");
  assert.ok(await failureOf(get({ ...ca, ...name })));
});
