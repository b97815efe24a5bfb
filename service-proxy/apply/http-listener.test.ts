import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { ListenError, listenHttp } from "./http-listener.ts";

const LOCAL = { host: "127.0.0.1", port: 0 };
const ok = () => ({ status: 200, body: "ok" });

test("closing frees the port, even under a client that keeps its connection", async () => {
  const listener = await listenHttp(LOCAL, ok);
  const { port } = listener.address;
  const client = connect(port, "127.0.0.1");
  await once(client, "connect");
  const ended = once(client, "close");
  client.on("error", () => undefined);
  await listener.close();
  await ended;
  const again = await listenHttp({ ...LOCAL, port }, ok);
  await again.close();
  await again.close();
});

test("an address in use is told with its code and in words", async () => {
  const listener = await listenHttp(LOCAL, ok);
  const { port } = listener.address;
  await assert.rejects(listenHttp({ ...LOCAL, port }, ok), (error) => {
    assert.ok(error instanceof ListenError);
    assert.equal(error.code, "EADDRINUSE");
    assert.match(error.message, /^Cannot listen on 127\.0\.0\.1 port \d+: EADDRINUSE, another/);
    return true;
  });
  await listener.close();
});

test("an address that is not ours is told", async () => {
  await assert.rejects(listenHttp({ host: "192.0.2.1", port: 0 }, ok), { code: "EADDRNOTAVAIL" });
});

test("0.0.0.0 answers on IPv6 too, as in Go, unless one family is asked for", async () => {
  const both = await listenHttp({ host: "0.0.0.0", port: 0 }, ok);
  const { port } = both.address;
  assert.equal((await fetch(`http://[::1]:${port}/`)).status, 200);
  assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200);
  await both.close();
  const one = await listenHttp({ host: "0.0.0.0", port: 0 }, ok, { oneFamily: true });
  await assert.rejects(fetch(`http://[::1]:${one.address.port}/`));
  await one.close();
});

test("one port can serve each family by its own socket", async () => {
  const v4 = await listenHttp({ host: "0.0.0.0", port: 0 }, ok, { oneFamily: true });
  const v6 = await listenHttp({ host: "::", port: v4.address.port }, ok, { oneFamily: true });
  await Promise.all([v4.close(), v6.close()]);
});

test("a handler that throws answers 500 and the server lives", async () => {
  const listener = await listenHttp(LOCAL, (path) => {
    if (path === "/bad") throw new Error("no");
    return ok();
  });
  const url = `http://127.0.0.1:${listener.address.port}`;
  assert.equal((await fetch(`${url}/bad`)).status, 500);
  assert.equal((await fetch(`${url}/good`)).status, 200);
  await listener.close();
});

test("HEAD gets headers without a body", async () => {
  const listener = await listenHttp(LOCAL, ok);
  const url = `http://127.0.0.1:${listener.address.port}`;
  const response = await fetch(url, { method: "HEAD" });
  assert.deepEqual([response.status, await response.text()], [200, ""]);
  await listener.close();
});
