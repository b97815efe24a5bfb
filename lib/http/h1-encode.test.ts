import assert from "node:assert/strict";
import { test } from "node:test";
import { transcribe } from "./h1-case-transcript.ts";
import {
  CHUNK_END,
  chunkHeader,
  encodeLastChunk,
  encodeOwnResponse,
  encodeRequestHead,
  encodeResponseHead,
  formatStatusLine,
} from "./h1-encode.ts";
import { RESPONSES } from "./h1-parser.ts";

const REQUEST = { method: "GET", authority: "a:80", path: "/x?y", fields: ["x-a", "1"] };

test("a request names its host first and is framed once", () => {
  const encode = (body: Parameters<typeof encodeRequestHead>[1]["body"]) =>
    encodeRequestHead(REQUEST, { body, expectContinue: false });
  const head = "GET /x?y HTTP/1.1\r\nhost: a:80\r\nx-a: 1\r\n";
  assert.equal(encode({ kind: "none" }), `${head}\r\n`);
  assert.equal(encode({ kind: "length", lengthBytes: 0 }), `${head}content-length: 0\r\n\r\n`);
  assert.equal(encode({ kind: "chunked" }), `${head}transfer-encoding: chunked\r\n\r\n`);
});

test("CONNECT, upgrades and expectations are written as they were read", () => {
  const connect = { method: "CONNECT", authority: "a:443", path: "", fields: [] };
  const plain = { body: { kind: "none" }, expectContinue: false } as const;
  assert.equal(encodeRequestHead(connect, plain), "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n");
  assert.match(
    encodeRequestHead({ ...REQUEST, upgrade: "websocket" }, plain),
    /\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n$/,
  );
  assert.match(
    encodeRequestHead(REQUEST, { body: { kind: "chunked" }, expectContinue: true }),
    /\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n$/,
  );
});

test("a response says what becomes of the connection when it is not the custom", () => {
  const head = { status: 200, fields: ["x-a", "1"] };
  const body = { kind: "length", lengthBytes: 2 } as const;
  const start = "HTTP/1.1 200 OK\r\nx-a: 1\r\n";
  const end = "content-length: 2\r\n\r\n";
  const encode = (keepAlive: boolean, version: "1.0" | "1.1") =>
    encodeResponseHead(head, { body, keepAlive, version });
  assert.equal(encode(true, "1.1"), `${start}${end}`);
  assert.equal(encode(false, "1.1"), `${start}connection: close\r\n${end}`);
  assert.equal(encode(true, "1.0"), `${start}connection: keep-alive\r\n${end}`);
  const untilClose = { body: { kind: "until-close" }, keepAlive: true, version: "1.1" } as const;
  assert.equal(encodeResponseHead(head, untilClose), `${start}connection: close\r\n\r\n`);
});

test("heads without a body say only what is true of them", () => {
  const framing = { keepAlive: true, version: "1.1" } as const;
  const none = { ...framing, body: { kind: "none" } } as const;
  assert.equal(
    encodeResponseHead({ status: 204, fields: [] }, none),
    "HTTP/1.1 204 No Content\r\n\r\n",
  );
  assert.equal(
    encodeResponseHead({ status: 100, fields: [] }, { ...none, keepAlive: false }),
    "HTTP/1.1 100 Continue\r\n\r\n",
  );
  assert.equal(
    encodeResponseHead(
      { status: 304, fields: [] },
      { ...framing, body: { kind: "none", statedBytes: 9 } },
    ),
    "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
  );
  const tunnel = { ...framing, body: { kind: "tunnel" } } as const;
  assert.equal(
    encodeResponseHead({ status: 101, upgrade: "websocket", fields: [] }, tunnel),
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
  );
  assert.equal(
    encodeResponseHead({ status: 200, fields: [] }, { ...tunnel, keepAlive: false }),
    "HTTP/1.1 200 OK\r\n\r\n",
  );
});

test("a status that the registry does not name has an empty reason", () => {
  assert.equal(formatStatusLine(299), "HTTP/1.1 299 \r\n");
});

test("chunks that are written are read back, with their trailers", () => {
  const framing = { body: { kind: "chunked" }, keepAlive: true, version: "1.1" } as const;
  const parts = ["a", "b".repeat(16), "c".repeat(300)];
  const bytes =
    encodeResponseHead({ status: 200, fields: [] }, framing) +
    parts.map((part) => chunkHeader(part.length) + part + CHUNK_END).join("") +
    encodeLastChunk(["grpc-status", "0"]);
  const { messages, problem } = transcribe(RESPONSES, [bytes], { asked: [{ method: "GET" }] });
  assert.equal(problem, undefined);
  assert.equal(messages[0]?.body, parts.join(""));
  assert.deepEqual(messages[0]?.trailers, ["grpc-status", "0"]);
});

test("a response of our own is whole, for HEAD without its body", () => {
  const own = { status: 503, text: "no endpoints", fields: ["retry-after", "1"] };
  const head = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-type: text/plain\r\n";
  const request = { method: "GET", keepAlive: true, version: "1.1" } as const;
  const end = "content-length: 12\r\n\r\n";
  assert.equal(encodeOwnResponse(own, request), `${head}${end}no endpoints`);
  assert.equal(encodeOwnResponse(own, { ...request, method: "HEAD" }), `${head}${end}`);
  assert.equal(encodeOwnResponse(own, undefined), `${head}connection: close\r\n${end}no endpoints`);
  assert.equal(
    encodeOwnResponse({ status: 204, text: "", fields: [] }, request),
    "HTTP/1.1 204 No Content\r\n\r\n",
  );
});
