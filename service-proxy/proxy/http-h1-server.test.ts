import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import { type TestContext, test } from "node:test";
import { listenOn, SampleHttpProxy, talk } from "./sample-http-proxy.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const echo: Answer = (request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => void chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks).toString();
    response.end(`${request.method} ${request.url} ${body}`);
  });
};

async function proxyTo(t: TestContext, answer: Answer): Promise<SampleHttpProxy> {
  const server: Server = createServer({ keepAlive: true }, answer);
  const port = await listenOn(server);
  const proxy = new SampleHttpProxy({ groups: { web: [port] } });
  t.after(() => {
    proxy.stop();
    server.closeAllConnections();
    server.close();
  });
  return proxy;
}

/** Answers every connection with the same bytes once it has read a head. */
async function proxyToBytes(t: TestContext, ...answers: string[]): Promise<SampleHttpProxy> {
  let count = 0;
  const server = createTcpServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end(answers[count++] ?? "", "latin1"));
  });
  const port = await listenOn(server);
  const proxy = new SampleHttpProxy({ groups: { web: [port] } });
  t.after(() => {
    proxy.stop();
    server.close();
  });
  return proxy;
}

const CLOSE = "Host: web\r\nConnection: close\r\n\r\n";

test("a request goes to the endpoint, its answer comes back; the connection stays", async (t) => {
  const proxy = await proxyTo(t, echo);
  const answer = await talk(
    proxy.port,
    `GET /a?b=c HTTP/1.1\r\nHost: web\r\n\r\nGET /last HTTP/1.1\r\n${CLOSE}`,
  );
  assert.match(answer, /^HTTP\/1.1 200 OK\r\n[^]*GET \/a\?b=c HTTP\/1.1 200 OK[^]*GET \/last $/);
  assert.equal(answer.match(/connection: close/g)?.length, 1);
  assert.deepEqual(proxy.counts(), { "2xx": 2 });
});

test("pipelined requests are answered in order, bodies included", async (t) => {
  const proxy = await proxyTo(t, (request, response) => {
    // The first answer is the slowest.
    if (request.url === "/0") setTimeout(() => echo(request, response), 20);
    else echo(request, response);
  });
  const post = (i: number): string =>
    `POST /${i} HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nbody${i}`;
  const answer = await talk(
    proxy.port,
    `${post(0)}${post(1)}${post(2)}GET /3 HTTP/1.1\r\n${CLOSE}`,
  );
  assert.deepEqual(answer.match(/(POST|GET) \/\d (body\d)?/g), [
    "POST /0 body0",
    "POST /1 body1",
    "POST /2 body2",
    "GET /3 ",
  ]);
});

test("chunked bodies and trailers travel both ways", async (t) => {
  const proxy = await proxyTo(t, (request, response) => {
    request.resume();
    request.on("end", () => {
      response.writeHead(200, { trailer: "x-sum" });
      response.write("one,");
      response.addTrailers({ "x-sum": String(request.trailers["x-in"]) });
      response.end("two");
    });
  });
  const answer = await talk(
    proxy.port,
    `POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n${CLOSE}3\r\nabc\r\n0\r\nX-In: 7\r\n\r\n`,
  );
  assert.match(answer, /transfer-encoding: chunked/);
  assert.match(answer, /\r\n0\r\nx-sum: 7\r\n\r\n$/);
});

const STATUSES: readonly [rule: string, request: string, status: string][] = [
  ["not HTTP", "nonsense\r\n\r\n", "400"],
  ["no Host", "GET / HTTP/1.1\r\n\r\n", "400"],
  ["two lengths", `POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n${CLOSE}`, "400"],
  [
    "both framings",
    `POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n${CLOSE}`,
    "400",
  ],
  ["a path that climbs above its root", `GET /../x HTTP/1.1\r\n${CLOSE}`, "400"],
  ["CONNECT", "CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n", "405"],
  ["an unknown expectation", `GET / HTTP/1.1\r\nExpect: x\r\n${CLOSE}`, "417"],
  ["a head that is too large", `GET / HTTP/1.1\r\nA: ${"x".repeat(70_000)}\r\n${CLOSE}`, "431"],
  ["version 2.0", "GET / HTTP/2.0\r\n\r\n", "505"],
];

for (const [rule, request, status] of STATUSES) {
  test(`${rule} is answered ${status}, and the connection closes`, async (t) => {
    const proxy = await proxyTo(t, echo);
    const closing = request.startsWith("CONNECT")
      ? `${request}GET / HTTP/1.1\r\n${CLOSE}`
      : request;
    assert.match(await talk(proxy.port, closing), new RegExp(`^HTTP/1.1 ${status} `));
  });
}

test("the path that was judged is the path that is forwarded", async (t) => {
  const proxy = await proxyTo(t, echo);
  const answer = await talk(proxy.port, `GET /a/./b/../%63//d?q=%2e HTTP/1.1\r\n${CLOSE}`);
  assert.match(answer, /GET \/a\/c\/d\?q=%2e $/);
});

test("what the client claims about itself is replaced by what is known", async (t) => {
  const proxy = await proxyTo(t, (request, response) =>
    response.end(JSON.stringify(request.headers)),
  );
  const claims =
    "X-Forwarded-For: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\nConnection: x-a\r\nX-A: 1\r\n";
  const text = await talk(
    proxy.port,
    `GET / HTTP/1.1\r\n${claims}Host: web\r\nConnection: close\r\n\r\n`,
  );
  const headers = JSON.parse(text.slice(text.indexOf("{")));
  assert.equal(headers["x-forwarded-for"], "127.0.0.1");
  assert.equal(headers["x-forwarded-host"], "web");
  assert.equal(headers["forwarded"], undefined);
  assert.equal(headers["x-a"], undefined);
  assert.match(headers["x-request-id"], /^[0-9a-f]{32}$/);
});

test("HEAD, 204 and 304 have no body, and say what the endpoint said of its length", async (t) => {
  const proxy = await proxyTo(t, (request, response) => {
    response.writeHead(
      Number(request.url?.slice(1)),
      request.method === "HEAD" ? { "content-length": 5 } : {},
    );
    response.end();
  });
  const ask = (line: string): Promise<string> => talk(proxy.port, `${line} HTTP/1.1\r\n${CLOSE}`);
  assert.match(await ask("HEAD /200"), /content-length: 5\r\n\r\n$/);
  assert.doesNotMatch(await ask("GET /204"), /content-length|transfer-encoding/);
  assert.match(await ask("GET /304"), /^HTTP\/1.1 304 [^]*\r\n\r\n$/);
});

test("an HTTP/1.0 client gets no chunks, and keeps its connection only if it asks", async (t) => {
  const proxy = await proxyTo(t, (_, response) => {
    response.write("a");
    response.end("b");
  });
  const answer = await talk(proxy.port, "GET / HTTP/1.0\r\n\r\n");
  assert.match(answer, /connection: close\r\n\r\nab$/);
});

test("a response until close arrives whole", async (t) => {
  const proxy = await proxyToBytes(t, "HTTP/1.1 200 OK\r\n\r\nuntil the end");
  const answer = await talk(proxy.port, `GET / HTTP/1.1\r\n${CLOSE}`);
  assert.match(answer, /transfer-encoding: chunked\r\n\r\nd\r\nuntil the end\r\n0\r\n\r\n$/);
});

test("100 and 103 are passed on, also to a client that waits for it", async (t) => {
  const server = createServer();
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    response.writeEarlyHints({ link: "</a>; rel=preload" });
    response.writeContinue();
    echo(request, response);
  });
  const port = await listenOn(server);
  const proxy = new SampleHttpProxy({ groups: { web: [port] } });
  t.after(() => {
    proxy.stop();
    server.closeAllConnections();
    server.close();
  });
  const socket = connect({ port: proxy.port, host: "127.0.0.1" });
  socket.write(`POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n${CLOSE}`);
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString();
    if (text.endsWith("HTTP/1.1 100 Continue\r\n\r\n")) socket.write("abc");
  });
  await once(socket, "close");
  assert.match(text, /^HTTP\/1.1 103 [^]*100 Continue[^]*HTTP\/1.1 200 OK[^]*POST \/ abc$/);
});

test("bytes behind a response never answer the next request", async (t) => {
  const proxy = await proxyToBytes(
    t,
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na" +
      "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb",
  );
  const answer = await talk(
    proxy.port,
    `GET /1 HTTP/1.1\r\nHost: web\r\n\r\nGET /2 HTTP/1.1\r\n${CLOSE}`,
  );
  assert.doesNotMatch(answer, /poison/);
  assert.deepEqual(answer.match(/\r\n\r\n[ab]/g), ["\r\n\r\na", "\r\n\r\nb"]);
});

test("an endpoint that answers no HTTP costs 502", async (t) => {
  const proxy = await proxyToBytes(t, "SSH-2.0-x\r\n\r\n");
  assert.match(await talk(proxy.port, `GET / HTTP/1.1\r\n${CLOSE}`), /^HTTP\/1.1 502 /);
  assert.deepEqual(proxy.counts(), { reset: 1 });
});

test("a response that is cut short is cut short for the client", async (t) => {
  const proxy = await proxyToBytes(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
  const socket = connect({ port: proxy.port, host: "127.0.0.1" });
  socket.on("data", () => {});
  socket.write(`GET / HTTP/1.1\r\n${CLOSE}`);
  const [error] = await once(socket, "error");
  assert.equal(error.code, "ECONNRESET");
});

test("a slow client holds back the endpoint, and the other way; all bytes arrive", async (t) => {
  const big = Buffer.alloc(8 << 20, "0123456789abcdef");
  const proxy = await proxyTo(t, (request, response) => {
    let length = 0;
    setTimeout(() => request.on("data", (chunk: Buffer) => (length += chunk.length)), 20);
    request.on("end", () => response.end(length === big.length ? big : "short"));
  });
  const socket = connect({ port: proxy.port, host: "127.0.0.1" });
  socket.write(`POST / HTTP/1.1\r\nContent-Length: ${big.length}\r\n${CLOSE}`);
  socket.write(big);
  const chunks: Buffer[] = [];
  socket.pause();
  setTimeout(() => socket.resume(), 50);
  socket.on("data", (chunk: Buffer) => void chunks.push(chunk));
  await once(socket, "close");
  const all = Buffer.concat(chunks);
  assert(all.subarray(all.indexOf("\r\n\r\n") + 4).equals(big));
});

test("an early answer comes through, and the rest of the request is read away", async (t) => {
  const proxy = await proxyToBytes(
    t,
    "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n",
  );
  const body = "x".repeat(100_000);
  const answer = await talk(
    proxy.port,
    `POST / HTTP/1.1\r\nHost: web\r\nContent-Length: ${body.length}\r\n\r\n${body}` +
      `GET /../ HTTP/1.1\r\n${CLOSE}`,
  );
  assert.match(answer, /^HTTP\/1.1 413 [^]*HTTP\/1.1 400 /);
});

test("a client that goes away ends its request at the endpoint", async (t) => {
  const gone = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const proxy = await proxyTo(t, (request) => {
    asked.resolve();
    request.socket.once("close", () => gone.resolve());
  });
  const socket = connect({ port: proxy.port, host: "127.0.0.1" });
  socket.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
  await asked.promise;
  socket.destroy();
  await gone.promise;
  assert.deepEqual(proxy.counts(), { cancelled: 1 });
  assert.equal(proxy.connections.size, 0);
});

test("draining answers what is asked, then closes; idle connections end soon after", async (t) => {
  const asked = Promise.withResolvers<ServerResponse>();
  const proxy = await proxyTo(t, (request, response) => {
    if (request.url === "/wait") asked.resolve(response);
    else response.end("quick");
  });
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: web\r\n\r\n`;
  const busy = talk(proxy.port, get("/wait"));
  const response = await asked.promise;
  const next = connect({ port: proxy.port, host: "127.0.0.1" });
  next.write(get("/"));
  await once(next, "data");
  const idle = connect({ port: proxy.port, host: "127.0.0.1" });
  idle.write(get("/"));
  await once(idle, "data");
  for (const connection of proxy.connections) connection.drain();
  response.end("done");
  assert.match(await busy, /connection: close[^]*done$/);
  next.write(get("/"));
  const [last] = await once(next, "data");
  assert.match(String(last), /connection: close/);
  await once(next, "end");
  proxy.elapse(6_000);
  await once(idle, "end");
});

test("a client that asks on and reads nothing is not read from any more", async (t) => {
  const count = 90_000;
  const proxy = await proxyTo(t, echo);
  const socket = connect({ port: proxy.port, host: "127.0.0.1" });
  socket.pause();
  // Answered by the proxy itself: no endpoint slows it down.
  socket.write(`GET /%2f HTTP/1.1\r\nHost: web\r\n\r\n`.repeat(count));
  await once(socket, "ready");
  let answered = 0;
  for (let more = -1; more !== 0; answered += more) {
    for (let i = 0; i < 100; i++) await new Promise(setImmediate);
    more = proxy.counts()["bad-request"] ?? 0;
  }
  assert(answered > 0 && answered < count, `${answered} answers`);
  socket.resume();
  while (answered < count) {
    await new Promise(setImmediate);
    answered += proxy.counts()["bad-request"] ?? 0;
  }
  socket.destroy();
});

test("a request whose rest is broken gets no second answer", async (t) => {
  const proxy = await proxyTo(t, echo);
  const chunked = "Host: web\r\nTransfer-Encoding: chunked\r\n\r\n";
  const answer = await talk(proxy.port, `POST /../ HTTP/1.1\r\n${chunked}zz\r\n`);
  assert.equal(answer.match(/HTTP\/1.1/g)?.length, 1);
});

const SLOW: readonly [rule: string, sent: string, afterMs: number, answer: RegExp][] = [
  ["a head that does not end", "GET / HTTP/1.1\r\nHost:", 11_000, /^HTTP\/1.1 408 /],
  [
    "a body that does not go on",
    "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 9\r\n\r\nabc",
    31_000,
    /^HTTP\/1.1 408 /,
  ],
  ["a connection that says nothing", "", 61_000, /^$/],
];

for (const [rule, sent, afterMs, answer] of SLOW) {
  test(`${rule} is given up after ${(afterMs - 1_000) / 1_000} seconds`, async (t) => {
    const proxy = await proxyTo(t, echo);
    const answered = talk(proxy.port, sent);
    while (proxy.connections.size === 0) await new Promise(setImmediate);
    // The bytes are there by now, or else the answer is another.
    for (let i = 0; i < 10; i++) await new Promise(setImmediate);
    proxy.elapse(afterMs - 2_000);
    assert.equal(proxy.connections.size, 1);
    proxy.elapse(afterMs);
    assert.match(await answered, answer);
  });
}
