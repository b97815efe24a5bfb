import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { connect, createServer as createTcpServer } from "node:net";
import { type TestContext, test } from "node:test";
import type { RouteBackend, RouteRule } from "../model/route-table.ts";
import { sampleRandom } from "./sample-group.ts";
import { listenOn, SampleHttpProxy, talk } from "./sample-http-proxy.ts";
import { sampleRule } from "./sample-rules.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const CLOSE = "Host: web.shop\r\nConnection: close\r\n\r\n";
const GET = `GET /a HTTP/1.1\r\n${CLOSE}`;
const POST = `POST /a HTTP/1.1\r\nContent-Length: 4\r\n${CLOSE}body`;

async function serve(t: TestContext, answer: Answer): Promise<number> {
  const server: Server = createServer(answer);
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return await listenOn(server);
}

/** A port that refuses. */
async function closedPort(): Promise<number> {
  const server = createTcpServer();
  const port = await listenOn(server);
  server.close();
  await once(server, "close");
  return port;
}

function start(
  t: TestContext,
  groups: Readonly<Record<string, readonly number[]>>,
  ...rules: RouteRule[]
): SampleHttpProxy {
  const proxy = new SampleHttpProxy(rules.length === 0 ? { groups } : { groups, rules });
  t.after(() => proxy.stop());
  return proxy;
}

function to(group: string, weight = 1): RouteBackend {
  return { group, weight, filters: [] };
}

/** A rule for every path that leads to `web`. */
function rule(changes: Partial<Omit<RouteRule, "match">>): RouteRule {
  return sampleRule({}, { backends: [to("web")], ...changes });
}

function statusOf(answer: string): number {
  return Number(/^HTTP\/1.1 (\d+)/.exec(answer)?.[1]);
}

const says =
  (text: string): Answer =>
  (_, response) =>
    response.end(text);

test("no rule that matches is answered 404, a bad reference 500, no endpoints 503", async (t) => {
  const path = (value: string) => ({ path: { kind: "exact", value } as const });
  const proxy = start(
    t,
    { web: [] },
    sampleRule(path("/nowhere"), { backends: [{ weight: 1, filters: [] }] }),
    sampleRule(path("/none"), { backends: [] }),
    sampleRule(path("/empty"), { backends: [to("web")] }),
  );
  const ask = async (name: string) =>
    statusOf(await talk(proxy.port, `GET ${name} HTTP/1.1\r\n${CLOSE}`));
  assert.deepEqual(
    [await ask("/other"), await ask("/nowhere"), await ask("/none"), await ask("/empty")],
    [404, 500, 500, 503],
  );
  assert.deepEqual(proxy.counts(), { "no-route": 1, "bad-route": 2, "no-endpoints": 1 });
});

test("weights share requests out", async (t) => {
  const web = await serve(t, says("web"));
  const canary = await serve(t, says("canary"));
  const proxy = start(
    t,
    { web: [web], canary: [canary] },
    rule({ backends: [to("web", 0), to("canary", 1)] }),
  );
  for (let i = 0; i < 5; i++) assert.match(await talk(proxy.port, GET), /canary$/);
});

test("an endpoint that refuses is passed over; its failure counts as a retry", async (t) => {
  const good = await serve(t, says("good"));
  const bad = await closedPort();
  const proxy = start(t, { web: [bad, good] });
  for (let i = 0; i < 4; i++) assert.match(await talk(proxy.port, POST), /good$/);
  const counts = proxy.counts();
  assert.equal(counts["2xx"], 4);
  assert.equal(counts.retries, counts["connect-failed"]);
  assert((counts.retries ?? 0) > 0);
});

test("when every endpoint refuses, the answer is 503", async (t) => {
  const proxy = start(t, { web: [await closedPort()] });
  assert.equal(statusOf(await talk(proxy.port, GET)), 503);
  assert.deepEqual(proxy.records.at(-1)?.flags, ["connect-failed"]);
});

test("a rule's retries are for the statuses it names, as often as it says", async (t) => {
  let count = 0;
  const web = await serve(t, (_, response) => {
    response.statusCode = ++count < 3 ? 503 : 200;
    response.end();
  });
  const retry = { statusCodes: [503], attempts: 2, backoffMs: 1 };
  const proxy = start(t, { web: [web] }, rule({ retry }));
  assert.equal(statusOf(await talk(proxy.port, POST)), 200);
  assert.equal(proxy.records.at(-1)?.attempts, 3);
  count = -10;
  assert.equal(statusOf(await talk(proxy.port, GET)), 503);
  assert.deepEqual(proxy.counts(), { "2xx": 1, "5xx": 5, retries: 4 });
});

test("retries end when their budget does", async (t) => {
  const web = await serve(t, (_, response) => {
    response.statusCode = 503;
    response.end();
  });
  const retry = { statusCodes: [503], attempts: 1, backoffMs: 0 };
  const proxy = start(t, { web: [web] }, rule({ retry }));
  for (let i = 0; i < 60; i++) assert.equal(statusOf(await talk(proxy.port, GET)), 503);
  assert.equal(proxy.counts().retries, 30);
  assert.deepEqual(proxy.records.at(-1)?.flags, ["retry-budget"]);
});

/** Answers the first request of each connection, and closes it when a second one comes. */
async function serveOnce(t: TestContext): Promise<{ port: number; seen: string[] }> {
  const seen: string[] = [];
  const server = createTcpServer((socket) => {
    let isFirst = true;
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      seen.push(chunk.toString().split(" ")[0] ?? "");
      if (!isFirst) return socket.destroy();
      isFirst = false;
      return socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
  });
  t.after(() => server.close());
  return { port: await listenOn(server), seen };
}

test("a GET that a closing connection swallowed is sent again, a POST never", async (t) => {
  const { port, seen } = await serveOnce(t);
  const proxy = start(t, { web: [port] });
  assert.equal(statusOf(await talk(proxy.port, GET)), 200);
  assert.equal(statusOf(await talk(proxy.port, GET)), 200);
  assert.deepEqual(seen, ["GET", "GET", "GET"]);
  assert.equal(statusOf(await talk(proxy.port, POST)), 502);
  assert.deepEqual(seen, ["GET", "GET", "GET", "POST"]);
});

test("a backend that takes too long is tried again elsewhere, or answered 504", async (t) => {
  const slow = await serve(t, () => {});
  const quick = await serve(t, says("quick"));
  const retry = { statusCodes: [], attempts: 1, backoffMs: 0 };
  const timeouts = { backendRequestMs: 20 };
  const proxy = start(t, { web: [slow, quick], slow: [slow] }, rule({ timeouts, retry }));
  for (let i = 0; i < 2; i++) assert.match(await talk(proxy.port, GET), /quick$/);
  const alone = start(t, { web: [slow] }, rule({ timeouts: { requestMs: 20 } }));
  assert.equal(statusOf(await talk(alone.port, GET)), 504);
  assert.deepEqual(alone.counts(), { timeout: 1 });
});

test("a mirror gets a copy with its body, and what it answers goes nowhere", async (t) => {
  const mirrored = Promise.withResolvers<string>();
  const web = await serve(t, says("web"));
  const mirror = await serve(t, (request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      response.statusCode = 500;
      response.end("nobody reads this");
      mirrored.resolve(`${request.method} ${body}`);
    });
  });
  const filters = [{ kind: "mirror", group: "mirror", share: 1 } as const];
  const proxy = start(t, { web: [web], mirror: [mirror] }, rule({ filters }));
  assert.match(await talk(proxy.port, POST), /^HTTP\/1.1 200 [^]*web$/);
  assert.equal(await mirrored.promise, "POST body");
  assert.deepEqual(proxy.counts(), { "2xx": 1 });
});

test("a mirror that refuses or hangs disturbs nobody", async (t) => {
  const web = await serve(t, says("web"));
  const filters = [
    { kind: "mirror", group: "gone", share: 1 } as const,
    { kind: "mirror", group: "hangs", share: 1 } as const,
  ];
  const hangs = await serve(t, () => {});
  const groups = { web: [web], gone: [await closedPort()], hangs: [hangs] };
  const proxy = start(t, groups, rule({ filters }));
  for (let i = 0; i < 3; i++) assert.match(await talk(proxy.port, GET), /web$/);
});

test("a session keeps its endpoint", async (t) => {
  const one = await serve(t, says("one"));
  const two = await serve(t, says("two"));
  const sessionPersistence = { kind: "cookie", name: "s", permanent: false } as const;
  const proxy = start(t, { web: [one, two] }, rule({ sessionPersistence }));
  const first = await talk(proxy.port, GET);
  const cookie = /set-cookie: (s=[^;]+)/.exec(first)?.[1];
  for (let i = 0; i < 4; i++) {
    const next = await talk(proxy.port, `GET /a HTTP/1.1\r\nCookie: ${cookie}\r\n${CLOSE}`);
    assert.equal(next.slice(-3), first.slice(-3));
    assert.doesNotMatch(next, /set-cookie/);
  }
});

test("filters change heads, rewrite paths, redirect and answer preflights", async (t) => {
  const web = await serve(t, (request, response) => {
    response.end(`${request.url} ${String(request.headers["x-new"])} ${request.headers.host}`);
  });
  const change = { set: [["x-new", "1"]], add: [], remove: ["date"] } as const;
  const prefix = (value: string) => ({ path: { kind: "prefix", value } as const });
  const policy = {
    allowOrigins: ["https://a.example"],
    allowCredentials: false,
    allowMethods: ["GET"],
    allowHeaders: [],
    exposeHeaders: [],
    maxAgeSeconds: 5,
  };
  const proxy = start(
    t,
    { web: [web] },
    sampleRule(prefix("/old"), {
      backends: [to("web")],
      filters: [
        { kind: "request-headers", change },
        { kind: "response-headers", change },
        { kind: "rewrite", hostname: "other", path: { kind: "prefix", value: "/new" } },
      ],
    }),
    sampleRule(prefix("/moved"), { filters: [{ kind: "redirect", status: 302, hostname: "x" }] }),
    sampleRule(prefix("/cors"), { backends: [to("web")], filters: [{ kind: "cors", policy }] }),
  );
  const ask = (line: string) => talk(proxy.port, `${line}\r\n${CLOSE}`);
  const rewritten = await ask("GET /old/a HTTP/1.1");
  assert.match(rewritten, /x-new: 1[^]*\/new\/a 1 other$/);
  assert.doesNotMatch(rewritten, /date:/);
  assert.match(
    await ask("GET /moved/a HTTP/1.1"),
    /^HTTP\/1.1 302 [^]*location: http:\/\/x:\d+\/moved\/a/,
  );
  const asks = "Origin: https://a.example\r\nAccess-Control-Request-Method: GET";
  assert.match(
    await ask(`OPTIONS /cors HTTP/1.1\r\n${asks}`),
    /^HTTP\/1.1 204 [^]*access-control-allow-origin: https:\/\/a.example/,
  );
});

test("an upgrade becomes a tunnel, both ways, until it ends", async (t) => {
  const server = createServer();
  server.on("upgrade", (_, socket) => {
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    socket.pipe(socket);
  });
  t.after(() => server.close());
  const proxy = start(t, { web: [await listenOn(server)] });
  const ask = "Connection: upgrade\r\nUpgrade: websocket\r\nHost: web\r\n\r\n";
  const socket = connect({ port: proxy.port, host: "127.0.0.1" });
  socket.write(`GET /ws HTTP/1.1\r\n${ask}early `);
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString();
    if (text.endsWith("early ")) socket.write("late");
    if (text.endsWith("late")) socket.end();
  });
  await once(socket, "close");
  assert.match(text, /^HTTP\/1.1 101 [^]*upgrade: websocket\r\n\r\nearly late$/);
  assert.equal(proxy.records.at(-1)?.protocol, "websocket");
});

test("an upgrade that is refused is an answer like any other", async (t) => {
  const web = await serve(t, says("no"));
  const proxy = start(t, { web: [web] });
  const ask = "Connection: upgrade\r\nUpgrade: websocket\r\nHost: web\r\n\r\n";
  assert.match(await talk(proxy.port, `GET /ws HTTP/1.1\r\n${ask}${GET}`), /no[^]*200 OK[^]*no$/);
});

for (const protocol of ["http1", "http2"] as const) {
  test(`cancellations at any moment leave nothing behind (${protocol})`, async (t) => {
    const answer = (
      request: { readonly url?: string | undefined; resume(): unknown },
      response: { end(text: string): unknown },
    ): void => {
      request.resume();
      const delayMs = Number(request.url?.slice(1)) % 5 || 0;
      setTimeout(() => response.end("x".repeat(50_000)), delayMs);
    };
    const server = protocol === "http1" ? createServer(answer) : createHttp2Server(answer);
    const sessions = new Set<{ destroy(): void }>();
    server.on("connection", (socket) => void sessions.add(socket));
    t.after(() => {
      for (const session of sessions) session.destroy();
      server.close();
    });
    const port = await listenOn(server);
    const proxy = new SampleHttpProxy({ groups: { web: [port] }, protocol });
    t.after(() => proxy.stop());
    const random = sampleRandom(7);
    const one = async (i: number): Promise<void> => {
      const socket = connect({ port: proxy.port, host: "127.0.0.1" });
      socket.on("error", () => {});
      socket.resume();
      socket.write(`POST /${i} HTTP/1.1\r\nContent-Length: 20\r\n${CLOSE}${"y".repeat(10)}`);
      setTimeout(() => socket.write("y".repeat(10)), random() * 4);
      setTimeout(
        () => (random() < 0.5 ? socket.destroy() : socket.resetAndDestroy()),
        random() * 9,
      );
      await once(socket, "close");
    };
    await Promise.all(Array.from({ length: 80 }, (_, i) => one(i)));
    while (proxy.connections.size > 0) await new Promise(setImmediate);
    const group = proxy.parts.tables.group("web");
    assert.equal(group?.endpoints.inFlight(), 0);
    for (const resource of ["requests", "pending"] as const) {
      assert.equal(group?.circuit.taken(resource), 0, resource);
    }
    const [...edges] = proxy.parts.requests.drain(proxy.parts.reactor.nowMs);
    assert.equal(
      edges.reduce((sum, { inFlight }) => sum + inFlight, 0),
      0,
    );
    assert.match(await talk(proxy.port, GET), /^HTTP\/1.1 200 /);
  });
}
