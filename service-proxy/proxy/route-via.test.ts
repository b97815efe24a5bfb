// What proxies tell of themselves on the way, in both versions of HTTP and both directions.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import type { Server } from "node:net";
import { type TestContext, test } from "node:test";
import { listenOn, SampleHttpProxy, talk } from "./sample-http-proxy.ts";

/** Answers with the Via that it got, and has come through a proxy itself. */
const SERVERS = {
  http1: () =>
    createServer((request, response) => {
      response.setHeader("via", "1.0 old").end(`got ${request.headers.via}`);
    }),
  http2: () =>
    createHttp2Server((request, response) => {
      response.setHeader("via", "1.0 old");
      response.end(`got ${request.headers.via}`);
    }),
};

async function start(t: TestContext, protocol: keyof typeof SERVERS, via: boolean) {
  const server: Server = SERVERS[protocol]();
  const groups = { web: [await listenOn(server)] };
  const proxy = new SampleHttpProxy({ groups, protocol, via });
  t.after(() => {
    proxy.stop();
    server.close();
  });
  return proxy;
}

const GET = "GET / HTTP/1.1\r\nHost: web\r\nVia: 1.1 first\r\nConnection: close\r\n\r\n";

for (const [protocol, version] of [
  ["http1", "1.1"],
  ["http2", "2.0"],
] as const) {
  test(`asked for, Via names this hop behind those before it: endpoint in ${protocol}`, async (t) => {
    const { port } = await start(t, protocol, true);
    const answer = await talk(port, GET);
    assert.match(answer, /got 1\.1 first, 1\.1 innermesh/);
    const said = [...answer.matchAll(/^via: (.*)\r$/gm)].map(([, value]) => value);
    assert.deepEqual(said, ["1.0 old", `${version} innermesh`]);
  });
}

test("a request that came in HTTP/2 says so", async (t) => {
  const { port } = await start(t, "http1", true);
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  t.after(() => session.destroy());
  const stream = session.request({ ":path": "/" });
  const [headers] = await once(stream, "response");
  assert.equal(headers["via"], "1.0 old, 1.1 innermesh");
  const [body] = await once(stream, "data");
  assert.equal(String(body), "got 2.0 innermesh");
});

test("nothing is said where it is not asked for, nor in answers of the proxy's own", async (t) => {
  const silent = await start(t, "http1", false);
  const answer = await talk(silent.port, GET);
  assert.match(answer, /got 1\.1 first$/);
  assert.doesNotMatch(answer, /innermesh/);
  const { port } = await start(t, "http1", true);
  assert.doesNotMatch(await talk(port, GET.replace("GET", "CONNECT")), /via:/);
});
