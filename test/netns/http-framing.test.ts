// The wire of the HTTP path, seen by real clients and backends through a routed Service: keep-alive,
// pipelining, 100-continue, answers without bodies, trailers, large bodies, early answers,
// upgrades, and the same over HTTP/2 on either side.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { patternBody } from "./http-backend-behaviour.ts";
import { valueOf } from "./http-backend-log.ts";
import type { HttpAnswer, HttpCall, RawStep } from "./http-client-protocol.ts";
import { H2C_PORT, PARENT, PLAIN_PORT } from "./http-manifests.ts";
import { answered, countPods, FRONT_POD, HttpRig, seenBy } from "./http-rig.ts";
import { below } from "./http-route-rules.ts";

const MEBIBYTE = 1 << 20;
const MEBIBYTE_HASH = createHash("sha256").update(patternBody(MEBIBYTE)).digest("hex");
const PROTOCOLS = ["http1", "http2"] as const;
const BASIC = 1;
const EMPTY_HASH = createHash("sha256").digest("hex");

/** `/h1` leads to an HTTP/1.1 backend, `/h2` to an HTTP/2 one, whatever the client speaks. */
const RULES = [
  { ...below("/h1"), backendRefs: [{ name: PARENT, port: PLAIN_PORT }] },
  { ...below("/h2"), backendRefs: [{ name: PARENT, port: H2C_PORT }] },
  { ...below("/ws"), backendRefs: [{ name: "sockets", port: PLAIN_PORT }] },
  { ...below("/all"), backendRefs: [{ name: "all", port: PLAIN_PORT }] },
];

/** Every way across: the client's protocol, and the backend's by path. */
const WAYS = PROTOCOLS.flatMap((client) =>
  PROTOCOLS.map((backend) => ({
    client,
    backend,
    path: backend === "http1" ? "/h1" : "/h2",
    name: `${client} to ${backend}`,
  })),
);

describe("HTTP through a routed Service", () => {
  let rig: HttpRig;
  const at = (path: string, more: Partial<HttpCall> = {}): HttpCall => ({
    ...rig.target(BASIC, more.protocol),
    path,
    ...more,
  });
  const say = async (...steps: readonly RawStep[]) => {
    const { address, port } = rig.target(BASIC);
    return rig.client("pod-1-1").call("raw", { address, port, steps, timeoutMs: 3_000 });
  };
  before(async () => {
    rig = await HttpRig.build([{ number: BASIC, routes: [{ rules: RULES }] }]);
  });
  after(() => rig[Symbol.asyncDispose]());

  for (const { client: protocol, backend, path, name } of WAYS) {
    test(`${name}: a request arrives whole, and so does its answer`, async () => {
      const seen = seenBy(await rig.answer(at(`${path}?q=1`, { protocol })));
      assert.equal(seen.protocol, backend);
      assert.equal(seen.pod, FRONT_POD);
      assert.equal(seen.path, `${path}?q=1`);
    });

    test(`${name}: 1 MiB arrives unchanged in both directions at once`, async () => {
      const headers = { "x-case": name, "x-behave": `size=${MEBIBYTE}` };
      const call = at(path, { protocol, method: "POST", sizeBytes: MEBIBYTE, headers });
      const answer = await rig.answer(call);
      assert.equal(answer.bodyBytes, MEBIBYTE);
      assert.equal(answer.bodyHash, MEBIBYTE_HASH);
      const [seen] = await rig.seen(name);
      assert.equal(seen?.bodyHash, MEBIBYTE_HASH);
    });

    test(`${name}: trailers pass in both directions`, async () => {
      const headers = { "x-behave": "trailers", trailer: "x-end" };
      const call = { protocol, method: "POST", body: "one", headers };
      const answer = await rig.answer(at(path, { ...call, trailers: { "x-end": "1" } }));
      assert.equal(valueOf(answer.trailers, "x-sum"), "done");
      const seen = seenBy(answer);
      assert.equal(valueOf(seen.trailers, "x-end"), "1");
      assert.equal(seen.bodyBytes, 3);
    });

    test(`${name}: HEAD, 204 and 304 have no body, and the connection goes on`, async () => {
      const head = await rig.answer(at(path, { protocol, method: "HEAD" }));
      assert.deepEqual([head.status, head.bodyBytes], [200, 0]);
      for (const status of [204, 304]) {
        const headers = { "x-behave": `status=${status}&header=etag:"1"&size=0` };
        const call = at(path, { protocol, headers });
        const results = await rig.callMany(call, { count: 3, parallel: 1, reuse: true });
        for (const { status: got, bodyHash, fields } of results.map(answered)) {
          assert.deepEqual([got, bodyHash], [status, EMPTY_HASH]);
          assert.equal(valueOf(fields, "etag"), '"1"');
        }
      }
    });

    test(`${name}: an answer before the request's end is passed on, the connection too`, async () => {
      const headers = { "x-behave": "early&status=413" };
      const call = { protocol, method: "POST", sizeBytes: MEBIBYTE / 5, headers };
      const results = await rig.callMany(at(path, call), { count: 3, parallel: 1, reuse: true });
      assert.deepEqual(
        results.map((result) => answered(result).status),
        [413, 413, 413],
      );
      const large = await rig.answer(at(path, { ...call, sizeBytes: 4 * MEBIBYTE }));
      assert.equal(large.status, 413);
    });
  }

  test("one kept connection serves many requests, shared out over backends", async () => {
    const raw = await say(
      ...Array.from({ length: 12 }, (_, i) => ({
        send: `GET /all?${i} HTTP/1.1\r\nhost: a\r\n\r\n`,
        until: `"path":"/all?${i}"`,
      })),
    );
    assert(raw.isOpen);
    assert(new Set(raw.text.match(/pod-\d-\d/g)).size > 1, "one backend only");
  });

  test("pipelined requests are answered in their order", async () => {
    const send = ["/h1?1", "/h2?2", "/all?3", "/none", "/h1?5"]
      .map((path) => `GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`)
      .join("");
    const { text } = await say({ send, until: '"path":"/h1?5"' });
    const order = [...text.matchAll(/"path":"([^"]+)"|HTTP\/1.1 404/g)].map(
      ([all, path]) => path ?? all,
    );
    assert.deepEqual(order, ["/h1?1", "/h2?2", "/all?3", "HTTP/1.1 404", "/h1?5"]);
  });

  test("connections to backends are kept and shared", async () => {
    const headers = { "x-case": "reuse" };
    await rig.callMany(at("/h1", { headers }), { count: 30, parallel: 1, reuse: false });
    const connections = new Set((await rig.seen("reuse")).map(({ connection }) => connection));
    assert(connections.size < 10, `${connections.size} connections`);
  });

  test("Expect: 100-continue is answered by the backend or for it, before the body", async () => {
    for (const path of ["/h1", "/h2"]) {
      const call = { method: "PUT", body: "later", expectContinue: true };
      const answer = await rig.answer(at(path, call));
      assert.equal(seenBy(answer).bodyBytes, 5, path);
    }
  });

  test("HTTP/1.0 gets an answer without chunks, and the connection closed", async () => {
    const { text, isOpen } = await say({
      send: "GET /h1 HTTP/1.0\r\nhost: a\r\nx-behave: trailers\r\n\r\n",
    });
    assert.equal(isOpen, false);
    assert.match(text, /^HTTP\/1\.1 200 /);
    assert.doesNotMatch(text, /transfer-encoding/i);
    assert.match(text, /\{"pod":.*\}$/s);
  });

  test("Connection: close is obeyed", async () => {
    const { text, isOpen } = await say({
      send: "GET /h1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    });
    assert.equal(isOpen, false);
    assert.match(text, /connection: close/i);
  });

  test("chunks of any size arrive as one body", async () => {
    const chunks = ["1\r\na\r\n", "a\r\n0123456789\r\n", "2;x=y\r\nbc\r\n", "0\r\n\r\n"].join("");
    const { text } = await say({
      send: `POST /h1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${chunks}`,
      until: '"connection":',
    });
    assert.match(text, /"bodyBytes":13/);
  });

  for (const [name, head] of Object.entries({
    "two lengths": "content-length: 1\r\ncontent-length: 2",
    "a length and chunks": "content-length: 4\r\ntransfer-encoding: chunked",
    "a folded line": "x-a: 1\r\n x-b: 2",
    "a space before the colon": "content-length : 4",
    "an unknown coding": "transfer-encoding: gzip, chunked, x",
  })) {
    test(`${name}: 400, closed, and no backend sees it`, async () => {
      const { text, isOpen } = await say({
        send: `POST /h1 HTTP/1.1\r\nhost: a\r\nx-case: bad-${name.length}\r\n${head}\r\n\r\n0\r\n\r\n`,
      });
      assert.match(text, /^HTTP\/1\.1 (400|501) /);
      assert.equal(isOpen, false);
      assert.deepEqual(await rig.seen(`bad-${name.length}`), []);
    });
  }

  test("CONNECT is refused", async () => {
    const { text } = await say({
      send: "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n",
      until: "\n\r\n",
    });
    assert.match(text, /^HTTP\/1\.1 405 /);
  });

  for (const [family, path] of [
    ["ip", "/h1"],
    ["ip6", "/h1"],
    ["ip", "/ws"],
  ] as const) {
    test(`a WebSocket echoes through the Service (${family}, ${path})`, async () => {
      const { address, port } = rig.target(BASIC, "http1", family);
      const host = family === "ip" ? address : `[${address}]`;
      const messages = ["hello", "x".repeat(100), "y".repeat(20_000), "bye"];
      const url = `ws://${host}:${port}${path}`;
      const call = { url, messages, timeoutMs: 5_000 };
      const { heard, end } = await rig.client("pod-1-1").call("websocket", call);
      assert.deepEqual(heard, messages);
      assert.equal(end, "closed 1000");
    });
  }

  test("one HTTP/2 connection is balanced request by request", async () => {
    const call = at("/all", { protocol: "http2" });
    const counts = countPods(await rig.callMany(call, { count: 60, parallel: 6, reuse: true }));
    assert(Object.keys(counts).length > 1, JSON.stringify(counts));
    assert(
      Object.keys(counts).every((key) => key.startsWith("pod-")),
      JSON.stringify(counts),
    );
  });

  test("HTTP/2 by prior knowledge is served on a port of HTTP/1.1 too, and the other way", async () => {
    const http2: HttpAnswer = await rig.answer({
      ...rig.target(BASIC),
      protocol: "http2",
      path: "/h1",
    });
    assert.equal(seenBy(http2).protocol, "http1");
    const onH2c = { ...rig.target(BASIC, "http2"), protocol: "http1" as const, path: "/h2" };
    assert.equal(seenBy(await rig.answer(onH2c)).protocol, "http2");
  });

  test("curl, nghttp and h2load are served", async () => {
    const { address } = rig.target(BASIC);
    const { netns } = rig.pod("pod-1-1");
    const run = async (...argv: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await rig.playground.exec(netns, argv);
      assert.equal(code, 0, `${argv.join(" ")}: ${stderr}`);
      return stdout;
    };
    const url = `http://${address}/h1`;
    assert.match(await run("curl", "-sS", "--http1.1", "-d", "a=b", url), /"bodyBytes":3/);
    assert.match(await run("curl", "-sS", "--http2-prior-knowledge", url), new RegExp(FRONT_POD));
    assert.match(await run("nghttp", url), new RegExp(FRONT_POD));
    const report = await run("h2load", "-n200", "-c4", "-m8", `http://${address}/all`);
    assert.match(report, /200 succeeded, 0 failed/);
  });
});
