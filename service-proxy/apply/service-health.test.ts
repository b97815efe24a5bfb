import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { type ServiceHealthCheck, ServiceHealthServers } from "./service-health.ts";

const LOCAL = ["127.0.0.1"];

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return address !== null && typeof address === "object" ? address.port : 0;
}

function check(port: number, localEndpoints: number, name = "web"): ServiceHealthCheck {
  return { namespace: "default", name, port, localEndpoints };
}

async function ask(port: number, host = "127.0.0.1") {
  const response = await fetch(`http://${host}:${port}/any/path`);
  const { status, headers } = response;
  return { status, headers, body: await response.json() };
}

test("a node with a ready endpoint answers 200 with kube-proxy's body and headers", async () => {
  await using fixture = new Fixture();
  const port = await freePort();
  assert.deepEqual(await fixture.servers.apply([check(port, 2)], LOCAL), []);
  const { status, headers, body } = await ask(port);
  assert.equal(status, 200);
  assert.equal(headers.get("content-type"), "application/json");
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.equal(headers.get("x-load-balancing-endpoint-weight"), "2");
  assert.deepEqual(body, {
    service: { namespace: "default", name: "web" },
    localEndpoints: 2,
    serviceProxyHealthy: true,
  });
});

test("no local endpoint, or an unhealthy proxy, answers 503", async () => {
  await using fixture = new Fixture();
  const port = await freePort();
  await fixture.servers.apply([check(port, 0)], LOCAL);
  const none = await ask(port);
  assert.deepEqual([none.status, none.headers.get("x-load-balancing-endpoint-weight")], [503, "0"]);
  await fixture.servers.apply([check(port, 1)], LOCAL);
  fixture.healthy = false;
  const sick = await ask(port);
  assert.equal(sick.status, 503);
  assert.deepEqual(sick.body, {
    service: { namespace: "default", name: "web" },
    localEndpoints: 1,
    serviceProxyHealthy: false,
  });
});

test("a port passes from one Service to another in one step", async () => {
  await using fixture = new Fixture();
  const port = await freePort();
  await fixture.servers.apply([check(port, 1, "old")], LOCAL);
  await fixture.servers.apply([check(port, 3, "new")], LOCAL);
  const { body } = await ask(port);
  assert.deepEqual(body, {
    service: { namespace: "default", name: "new" },
    localEndpoints: 3,
    serviceProxyHealthy: true,
  });
  assert.equal(fixture.servers.listenerCount, 1);
});

test("a Service that goes frees its port", async () => {
  await using fixture = new Fixture();
  const port = await freePort();
  await fixture.servers.apply([check(port, 1)], LOCAL);
  await fixture.servers.apply([], LOCAL);
  await assert.rejects(ask(port));
  assert.equal(fixture.servers.listenerCount, 0);
});

test("each family has its own socket on the same port", async () => {
  await using fixture = new Fixture();
  const port = await freePort();
  await fixture.servers.apply([check(port, 1)], ["127.0.0.1", "::1"]);
  assert.equal((await ask(port)).status, 200);
  assert.equal((await ask(port, "[::1]")).status, 200);
  await fixture.servers.apply([check(port, 1)], ["::1"]);
  await assert.rejects(ask(port));
  assert.equal((await ask(port, "[::1]")).status, 200);
});

test("a port in use is a problem, others open, and the next sync tries again", async () => {
  await using fixture = new Fixture();
  const occupier = createServer().listen(0, "127.0.0.1");
  await once(occupier, "listening");
  const address = occupier.address();
  const taken = address !== null && typeof address === "object" ? address.port : 0;
  const free = await freePort();
  const checks = [check(taken, 1, "a"), check(free, 1, "b")];
  const [problem, ...others] = await fixture.servers.apply(checks, LOCAL);
  assert.deepEqual(others, []);
  assert.equal(problem?.name, "a");
  assert.match(problem?.message ?? "", /^Cannot start the health check on port \d+: .*EADDRINUSE/);
  assert.equal((await ask(free)).status, 200);
  occupier.close();
  await once(occupier, "close");
  assert.deepEqual(await fixture.servers.apply(checks, LOCAL), []);
  assert.equal((await ask(taken)).status, 200);
});

test("two Services with one port are a problem of the second", async () => {
  await using fixture = new Fixture();
  const port = await freePort();
  const problems = await fixture.servers.apply([check(port, 1, "a"), check(port, 1, "b")], LOCAL);
  assert.deepEqual(problems, [
    {
      namespace: "default",
      name: "b",
      message: `Health check port ${port} belongs to Service default/a`,
    },
  ]);
});

class Fixture {
  healthy = true;
  readonly servers = new ServiceHealthServers(() => this.healthy);

  async [Symbol.asyncDispose](): Promise<void> {
    await this.servers.close();
  }
}
