import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { transcribe } from "./h1-case-transcript.ts";
import { encodeRequestHead } from "./h1-encode.ts";
import type { H1RequestHead } from "./h1-head.ts";
import { DEFAULT_H1_LIMITS } from "./h1-limits.ts";
import { H1Parser, REQUESTS, RESPONSES } from "./h1-parser.ts";

const GET = "GET /x HTTP/1.1\r\nHost: a\r\n";
const OK = "HTTP/1.1 200 OK\r\n";
const CONVERSATION =
  "POST /1?q HTTP/1.1\r\nHost: a:80\r\nX-Name:  v w\t\r\nContent-Length: 5\r\n\r\nhello\r\n" +
  "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-Continue\r\n\r\n" +
  '3;x="y"\r\nabc\r\n0a\r\n0123456789\r\n0\r\nX-Sum: 1\r\nAuthorization: no\r\n\r\n' +
  "GET /3 HTTP/1.0\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\r\n" +
  "GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nignored";

function requests(bytes: string, limits = {}) {
  return transcribe(REQUESTS, [bytes], { limits });
}

function response(bytes: string, method = "GET", upgrade?: string) {
  const asked = [upgrade === undefined ? { method } : { method, upgrade }];
  return transcribe(RESPONSES, [bytes], { asked, closes: true });
}

test("pipelined requests come out one by one, each framed by what it says", () => {
  const { messages, problem, state } = requests(CONVERSATION);
  assert.equal(problem, undefined);
  assert.equal(state, "closed");
  const request = (line: string, fields: readonly string[], framing: Partial<H1RequestHead>) => {
    const [method = "", authority = "", path = ""] = line.split(" ");
    const usual = { version: "1.1", keepAlive: true, body: { kind: "none" } } as const;
    const expectContinue = false;
    const kind = "request";
    return { kind, method, authority, path, fields, expectContinue, ...usual, ...framing };
  };
  const chunked = { body: { kind: "chunked" }, expectContinue: true } as const;
  assert.deepEqual(messages, [
    {
      head: request("POST a:80 /1?q", ["x-name", "v w"], {
        body: { kind: "length", lengthBytes: 5 },
      }),
      body: "hello",
      trailers: [],
    },
    { head: request("POST a /2", [], chunked), body: "abc0123456789", trailers: ["x-sum", "1"] },
    { head: request("GET  /3", [], { version: "1.0" }), body: "", trailers: [] },
    { head: request("GET a /4", [], { keepAlive: false }), body: "", trailers: [] },
  ]);
});

test("bytes split anywhere tell the same", () => {
  const whole = requests(CONVERSATION).messages;
  for (let i = 1; i < CONVERSATION.length; i++) {
    const pieces = [CONVERSATION.slice(0, i), CONVERSATION.slice(i)];
    assert.deepEqual(transcribe(REQUESTS, pieces).messages, whole, `split at ${i}`);
  }
  assert.deepEqual(transcribe(REQUESTS, Array.from(CONVERSATION)).messages, whole);
  fc.assert(
    fc.property(fc.array(fc.nat(CONVERSATION.length), { maxLength: 9 }), (cuts) => {
      const places = [0, ...cuts.toSorted((a, b) => a - b), CONVERSATION.length];
      const pieces = places.slice(1).map((to, i) => CONVERSATION.slice(places[i], to));
      assert.deepEqual(transcribe(REQUESTS, pieces).messages, whole);
    }),
  );
});

test("a paused parser consumes no more; the rest is fed again", () => {
  const seen: string[] = [];
  const parser: H1Parser<H1RequestHead> = new H1Parser(
    REQUESTS,
    {
      onHead: (head) => {
        seen.push(head.path);
        parser.pause();
      },
      onBody: (bytes, start, end) => {
        seen.push(bytes.toString("latin1", start, end));
        parser.pause();
      },
      onEnd: () => {
        seen.push("end");
        parser.pause();
      },
    },
    DEFAULT_H1_LIMITS,
  );
  const bytes = Buffer.from(CONVERSATION, "latin1");
  const steps: (readonly string[])[] = [];
  for (let at = 0; at < bytes.length; ) {
    at += parser.feed(bytes, at, bytes.length);
    assert.equal(parser.feed(bytes, at, bytes.length), 0);
    steps.push(seen.splice(0));
    parser.resume();
  }
  assert.deepEqual(steps, [
    ["/1?q"],
    ["hello", "end"],
    ["/2"],
    ["abc"],
    ["0123456789"],
    ["end"],
    ["/3", "end"],
    ["/4", "end"],
    [],
  ]);
});

test("after a violation nothing more is told", () => {
  const { messages, problem, consumed, state } = transcribe(REQUESTS, [
    `${GET}\r\n${GET}Bad Name: 1\r\n\r\n`,
    `${GET}\r\n`,
  ]);
  assert.equal(messages.length, 1);
  assert.deepEqual(problem, {
    kind: "problem",
    status: 400,
    why: "a blank before a colon",
  });
  assert.deepEqual(consumed, [GET.length + 2, 0]);
  assert.equal(state, "refused");
});

test("a violation is told as soon as its byte comes", () => {
  for (const bytes of ["\u0016\u0003\u0001", "GET /x\n", "GET /x HTTP/1.1\r\nA: \u0000"]) {
    assert.equal(requests(bytes).problem?.status, 400);
  }
});

test("every limit holds, to the byte", () => {
  const head = `${GET}X: 12345\r\n\r\n`;
  const trailers = `POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0;xy\r\nA: b\r\n\r\n`;
  const exact = [
    [head, { startLineBytes: 15 }, 414],
    [head, { methodBytes: 3 }, 501],
    [head, { fieldLineBytes: 8 }, 431],
    [head, { headBytes: head.length }, 431],
    [head, { fieldLines: 2 }, 431],
    [trailers, { trailerBytes: 8 }, 431],
    [trailers, { chunkExtensionBytes: 3 }, 400],
  ] as const;
  for (const [bytes, limits, status] of exact) {
    const [[name, limit]] = Object.entries(limits) as [[string, number]];
    for (const pieces of [[bytes], Array.from(bytes)]) {
      const within = transcribe(REQUESTS, pieces, { limits });
      assert.equal(within.problem, undefined, name);
      const beyond = transcribe(REQUESTS, pieces, { limits: { [name]: limit - 1 } });
      assert.equal(beyond.problem?.status, status, name);
    }
  }
});

test("names with an underscore are kept, or refused where the limits say so", () => {
  assert.deepEqual(requests(`${GET}A_b: c\r\n\r\n`).messages[0]?.head.fields, ["a_b", "c"]);
  const refused = requests(`${GET}A_b: c\r\n\r\n`, { underscoreNames: "refuse" });
  assert.equal(refused.problem?.status, 400);
});

test("a body that ends early is a problem, an idle connection that ends is none", () => {
  for (const bytes of ["GET", `${GET}Content-Length: 5\r\n\r\nhell`, `${GET}\r\nGET`]) {
    const { problem } = transcribe(REQUESTS, [bytes], { closes: true });
    assert.equal(problem?.why, "a message that was cut short");
  }
  const idle = transcribe(REQUESTS, [`${GET}\r\n`], { closes: true });
  assert.equal(idle.problem, undefined);
  assert.equal(idle.state, "closed");
});

test("Connection takes away what it names, but nothing that decisions rest on", () => {
  const bytes = `${GET}Connection: X-A, authorization\r\nX-A: 1\r\nAuthorization: b\r\nTE: x\r\n\r\n`;
  assert.deepEqual(requests(bytes).messages[0]?.head.fields, ["authorization", "b"]);
});

test("an upgrade is told on a GET without a body, for one protocol", () => {
  const ask = (upgrade: string, more = "") =>
    requests(`${GET}Connection: keep-alive, Upgrade\r\nUpgrade: ${upgrade}\r\n${more}\r\n`)
      .messages[0]?.head.upgrade;
  assert.equal(ask("websocket"), "websocket");
  assert.equal(ask("SPDY/3.1"), "SPDY/3.1");
  assert.equal(ask("h2c"), undefined);
  assert.equal(ask("websocket, h2c"), undefined);
  assert.equal(ask("websocket", "Content-Length: 5\r\n"), undefined);
  assert.equal(ask("websocket", "Connection: close\r\n"), undefined);
  assert.equal(requests(`${GET}Upgrade: websocket\r\n\r\n`).messages[0]?.head.upgrade, undefined);
});

test("after CONNECT or an upgrade no byte is consumed before it is settled", () => {
  const ask = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n";
  const open = () => {
    const told: string[] = [];
    const parser = new H1Parser(
      REQUESTS,
      {
        onHead: ({ method }) => void told.push(method),
        onBody: (bytes, start, end) => void told.push(bytes.toString("latin1", start, end)),
        onEnd: () => void told.push("end"),
      },
      DEFAULT_H1_LIMITS,
    );
    const bytes = Buffer.from(`${ask}${GET}\r\n`, "latin1");
    assert.equal(parser.feed(bytes, 0, bytes.length), ask.length);
    assert.equal(parser.state, "switching");
    return { parser, told, bytes };
  };
  const tunnel = open();
  tunnel.parser.settleSwitch("tunnel");
  tunnel.parser.feed(tunnel.bytes, ask.length, tunnel.bytes.length);
  tunnel.parser.eof();
  assert.deepEqual(tunnel.told, ["CONNECT", "end", `${GET}\r\n`, "end"]);
  const http = open();
  http.parser.settleSwitch("http");
  http.parser.feed(http.bytes, ask.length, http.bytes.length);
  assert.deepEqual(http.told, ["CONNECT", "end", "GET", "end"]);
});

test("how a response is framed depends on what was asked", () => {
  const length = `${OK}Content-Length: 5\r\n\r\n`;
  const bodies = [
    [response(`${length}hello`), { kind: "length", lengthBytes: 5 }],
    [response(length, "HEAD"), { kind: "none", statedBytes: 5 }],
    [response(`${OK}Transfer-Encoding: chunked\r\n\r\n`, "HEAD"), { kind: "none" }],
    [response("HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n"), { kind: "none" }],
    [response("HTTP/1.1 304\r\nContent-Length: 5\r\n\r\n"), { kind: "none", statedBytes: 5 }],
    [response(`${OK}\r\nrest`), { kind: "until-close" }],
    [response(`${OK}\r\nrest`, "CONNECT"), { kind: "tunnel" }],
    [
      response("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", "CONNECT"),
      { kind: "length", lengthBytes: 0 },
    ],
  ] as const;
  for (const [{ messages, problem }, body] of bodies) {
    assert.equal(problem, undefined);
    assert.deepEqual(messages[0]?.head.body, body);
    assert.notEqual(messages[0]?.trailers, undefined);
  }
});

test("a body until close ends with the connection, and with it its reuse", () => {
  const { messages } = response(`${OK}X: y\r\n\r\nhello`);
  assert.equal(messages[0]?.head.keepAlive, false);
  assert.equal(messages[0]?.body, "hello");
});

test("interim responses come before the one they belong to", () => {
  const interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
  const { messages } = response(`${interim}${OK}Content-Length: 2\r\n\r\nok`, "POST");
  assert.deepEqual(
    messages.map(({ head, trailers }) => [head.status, trailers !== undefined]),
    [
      [100, false],
      [103, false],
      [200, true],
    ],
  );
  const endless = response("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17));
  assert.equal(endless.problem?.why, "too many interim responses");
});

test("101 opens a tunnel if it was asked for", () => {
  const switching = "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nframes";
  const { messages } = response(switching, "GET", "websocket");
  assert.equal(messages[0]?.head.upgrade, "websocket");
  assert.equal(messages[0]?.body, "frames");
  assert.equal(response(switching).problem?.status, 502);
});

test("a response to nothing is a violation", () => {
  const twice = `${OK}Content-Length: 0\r\n\r\n`.repeat(2);
  const { messages, problem } = response(twice);
  assert.equal(messages.length, 1);
  assert.equal(problem?.why, "a response that nobody asked for");
  const two = transcribe(RESPONSES, [twice], { asked: [{ method: "GET" }, { method: "GET" }] });
  assert.equal(two.messages.length, 2);
});

test("a backend's violations are 502", () => {
  const bad = [
    "HTTP/2.0 200 OK\r\n\r\n",
    "HTTP/1.1 20 OK\r\n\r\n",
    "HTTP/1.1 2000 OK\r\n\r\n",
    "HTTP/1.1  200 OK\r\n\r\n",
    "\r\nHTTP/1.1 200 OK\r\n\r\n",
    `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`,
    `${OK}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`,
    `${OK}Transfer-Encoding: gzip\r\n\r\n`,
    `${OK}X: y\r\n z\r\n\r\n`,
    `${OK}X: y\n\r\n`,
    `${OK}Transfer-Encoding: chunked\r\n\r\n0x5\r\n`,
    `${OK}Content-Length: 5\r\n\r\nhell`,
    `${OK}${"X: y\r\n".repeat(200)}\r\n`,
  ];
  for (const bytes of bad) assert.equal(response(bytes).problem?.status, 502, bytes);
});

test("a head that is written is read back", () => {
  const token = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/).map((name) => `x-${name}`);
  const value = fc
    .stringMatching(/^[\x21-\x7e\x80-\xff]([\x20-\x7e\x80-\xff]{0,40}[\x21-\x7e])?$/)
    .filter((text) => text.length > 0);
  const head = fc.record({
    method: fc.constantFrom("GET", "POST", "DELETE", "M-SEARCH"),
    authority: fc.constantFrom("a", "a.b:80", "[::1]:8080"),
    path: fc.stringMatching(/^\/[a-zA-Z0-9%/.]{0,30}(\?[a-z=&|]{0,20})?$/),
    fields: fc.array(fc.tuple(token, value), { maxLength: 20 }).map((pairs) => pairs.flat()),
  });
  fc.assert(
    fc.property(head, fc.nat(20), (sent, lengthBytes) => {
      const body = { kind: "length", lengthBytes } as const;
      const text = encodeRequestHead(sent, { body, expectContinue: false });
      const { messages, problem } = requests(text + "b".repeat(lengthBytes));
      assert.equal(problem, undefined);
      const read = { kind: "request", version: "1.1", keepAlive: true, expectContinue: false };
      assert.deepEqual(messages, [
        { head: { ...sent, ...read, body }, body: "b".repeat(lengthBytes), trailers: [] },
      ]);
    }),
  );
});
