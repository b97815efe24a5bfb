// What breaks a rule of RFC 9113, and whether it costs a stream or the connection.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  block,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  GET,
  H2CasePeer,
  headers,
  PADDED,
  POST,
  PREFACE_TEXT,
  setting,
  words,
} from "./h2-case-peer.ts";
import { FRAME, H2_ERROR, SETTING } from "./h2-frame.ts";

type Case = readonly [rule: string, frames: readonly Buffer[], code: number];

const OPEN = headers(1, 0, POST);
const { protocol, flowControl, frameSize, streamClosed, compression } = H2_ERROR;
const settings = (...entries: Buffer[]): Buffer =>
  frame(FRAME.settings, 0, 0, Buffer.concat(entries));

/** Of a server whose client has sent preface and settings. */
const CONNECTION_ERRORS: readonly Case[] = [
  ["DATA is for a stream", [data(0, 0, "x")], protocol],
  ["DATA is for a stream that was opened", [data(1, 0, "x")], protocol],
  ["DATA is longer than its padding", [OPEN, frame(0, PADDED, 1, Buffer.of(2, 0))], protocol],
  ["padded DATA tells its padding", [OPEN, frame(0, PADDED, 1)], frameSize],
  ["HEADERS are for a stream", [headers(0, 0, GET)], protocol],
  ["clients open odd streams", [headers(2, 0, GET)], protocol],
  ["streams are opened in rising order", [headers(5, 0, GET), headers(3, 0, GET)], streamClosed],
  [
    "a stream is opened once",
    [OPEN, frame(FRAME.rstStream, 0, 1, words(8)), headers(1, 0, GET)],
    streamClosed,
  ],
  ["HEADERS are longer than their padding", [frame(1, PADDED | 4, 1, Buffer.of(2, 0))], protocol],
  ["padded HEADERS tell their padding", [frame(1, PADDED | 4, 1)], frameSize],
  ["HEADERS have room for their priority", [frame(1, 0x24, 1, Buffer.alloc(4))], frameSize],
  ["a block can be decoded", [frame(1, END_HEADERS, 1, Buffer.of(0x80))], compression],
  [
    "a block that is refused can be decoded too",
    [OPEN, frame(1, END_HEADERS, 1, Buffer.of(0x80))],
    compression,
  ],
  ["CONTINUATION follows HEADERS", [frame(FRAME.continuation, 4, 1)], protocol],
  [
    "CONTINUATION follows unfinished HEADERS",
    [OPEN, frame(FRAME.continuation, END_HEADERS, 1)],
    protocol,
  ],
  [
    "CONTINUATION is of the same stream",
    [frame(1, 0, 1, block(GET)), frame(FRAME.continuation, END_HEADERS, 3)],
    protocol,
  ],
  ["a block is not interrupted", [frame(1, 0, 1), frame(FRAME.ping, 0, 0, words(0, 0))], protocol],
  ["a block is not interrupted by DATA", [frame(1, 0, 1), data(1, 0, "x")], protocol],
  ["a block is not interrupted by the unknown", [frame(1, 0, 1), frame(99, 0, 1)], protocol],
  ["PRIORITY is for a stream", [frame(FRAME.priority, 0, 0, Buffer.alloc(5))], protocol],
  ["PRIORITY has five bytes", [frame(FRAME.priority, 0, 1, Buffer.alloc(4))], frameSize],
  ["RST_STREAM is for a stream", [frame(FRAME.rstStream, 0, 0, words(8))], protocol],
  ["RST_STREAM is for an opened one", [frame(FRAME.rstStream, 0, 1, words(8))], protocol],
  ["RST_STREAM has four bytes", [OPEN, frame(FRAME.rstStream, 0, 1, words(8, 8))], frameSize],
  ["SETTINGS are for the connection", [frame(FRAME.settings, 0, 1)], protocol],
  ["SETTINGS have six bytes each", [frame(FRAME.settings, 0, 0, Buffer.alloc(5))], frameSize],
  ["SETTINGS ack has none", [frame(FRAME.settings, 1, 0, Buffer.alloc(6))], frameSize],
  ["ENABLE_PUSH is 0 or 1", [settings(setting(SETTING.enablePush, 2))], protocol],
  ["a window is below 2^31", [settings(setting(SETTING.initialWindowSize, 2 ** 31))], flowControl],
  ["a frame is not below 16,384", [settings(setting(SETTING.maxFrameSize, 16_383))], protocol],
  ["a frame is below 2^24", [settings(setting(SETTING.maxFrameSize, 2 ** 24))], protocol],
  ["ENABLE_CONNECT_PROTOCOL is 0 or 1", [settings(setting(8, 2))], protocol],
  [
    "no stream's window overflows by SETTINGS",
    [
      OPEN,
      frame(FRAME.windowUpdate, 0, 1, words(1000)),
      settings(setting(SETTING.initialWindowSize, 2 ** 31 - 1)),
    ],
    flowControl,
  ],
  ["clients push nothing", [frame(FRAME.pushPromise, 4, 1, words(2))], protocol],
  ["PING is for the connection", [frame(FRAME.ping, 0, 1, words(0, 0))], protocol],
  ["PING has eight bytes", [frame(FRAME.ping, 0, 0, words(0))], frameSize],
  ["GOAWAY is for the connection", [frame(FRAME.goAway, 0, 1, words(0, 0))], protocol],
  ["GOAWAY has eight bytes", [frame(FRAME.goAway, 0, 0, words(0))], frameSize],
  ["WINDOW_UPDATE has four bytes", [frame(FRAME.windowUpdate, 0, 0, words(1, 1))], frameSize],
  ["an increment is not 0", [frame(FRAME.windowUpdate, 0, 0, words(0))], protocol],
  ["WINDOW_UPDATE is for an opened one", [frame(FRAME.windowUpdate, 0, 1, words(1))], protocol],
  [
    "the connection's window does not overflow",
    [frame(FRAME.windowUpdate, 0, 0, words(2 ** 31 - 1))],
    flowControl,
  ],
  ["a frame is not too long", [frame(99, 0, 0, Buffer.alloc(16_385))], frameSize],
];

for (const [rule, frames, code] of CONNECTION_ERRORS) {
  test(`${rule}: else the connection ends`, () => {
    const server = H2CasePeer.open("server");
    server.feed(Buffer.concat([...frames, headers(99, END_STREAM, GET)]));
    assert.equal(server.takeEvents().at(-1), `closed 0 ${code}`);
    assert.match(server.takeFrames().at(-1) ?? "", new RegExp(`^goAway \\d+ ${code}$`));
    assert.equal(server.connection.closed, true);
  });
}

/** Of a server with a request on stream 1, its body still to come. */
const STREAM_ERRORS: readonly Case[] = [
  ["a second head is no trailers", [headers(1, 0, ["x", "y"])], protocol],
  ["trailers are well formed", [headers(1, END_STREAM, [":path", "/"])], protocol],
  ["nothing follows the end", [data(1, END_STREAM, "x"), data(1, 0, "x")], streamClosed],
  ["no trailers follow the end", [data(1, 1, ""), headers(1, 1, ["x", "y"])], streamClosed],
  ["a stream's increment is not 0", [frame(FRAME.windowUpdate, 0, 1, words(0))], protocol],
  [
    "a stream's window does not overflow",
    [frame(FRAME.windowUpdate, 0, 1, words(2 ** 31 - 1))],
    flowControl,
  ],
  [
    "a stream's window is respected",
    Array.from({ length: 5 }, () => data(1, 0, "x".repeat(16_384))),
    flowControl,
  ],
];

for (const [rule, frames, code] of STREAM_ERRORS) {
  test(`${rule}: else the stream ends, and no other`, () => {
    const server = H2CasePeer.open("server");
    server.givesBack = false;
    server.feed(Buffer.concat([OPEN, ...frames]));
    assert.equal(server.takeEvents().at(-1), `reset 1 ${code}`);
    assert.equal(server.takeFrames().at(-1), `rstStream 1 ${code}`);
    server.feed(headers(3, END_STREAM, GET));
    assert.match(server.takeEvents().join(), /^request 3/);
  });
}

const LENGTHS: readonly (readonly [rule: string, frames: readonly Buffer[]])[] = [
  ["more than was told", [data(1, 0, "1234")]],
  ["less than was told", [data(1, END_STREAM, "12")]],
  ["an end before anything", [data(1, END_STREAM, "")]],
  ["trailers too early", [data(1, 0, "12"), headers(1, END_STREAM, ["x", "y"])]],
];
for (const [what, frames] of LENGTHS) {
  test(`content-length: ${what} makes a request malformed`, () => {
    const server = H2CasePeer.open("server");
    server.feed(Buffer.concat([headers(1, 0, [...POST, "content-length", "3"]), ...frames]));
    assert.equal(server.takeEvents().at(-1), "reset 1 1");
  });
}

test("content-length: a request that ends with its head has none, or none told", () => {
  const server = H2CasePeer.open("server");
  server.feed(headers(1, END_STREAM, [...POST, "content-length", "3"]));
  assert.deepEqual([server.takeEvents(), server.takeFrames()], [[], ["rstStream 1 1"]]);
  server.feed(headers(3, END_STREAM, [...POST, "content-length", "0"]));
  assert.match(server.takeEvents().join(), /^request 3/);
});

test("a malformed request is reset before anybody hears of it", () => {
  const server = H2CasePeer.open("server");
  server.feed(Buffer.concat([headers(1, 0, [...POST, "Bad", ""]), data(1, END_STREAM, "x")]));
  assert.deepEqual([server.takeEvents(), server.takeFrames()], [[], ["rstStream 1 1"]]);
});

test("a request head beyond the limit is answered 431, its trailers with a reset", () => {
  const server = H2CasePeer.open("server", { headerListBytes: 500 });
  const large = ["x", "y".repeat(500)];
  server.feed(headers(1, 0, [...POST, ...large]));
  assert.deepEqual(server.takeFrames(), ["headers 1 :status=431 end", "rstStream 1 0"]);
  server.feed(headers(3, END_STREAM, [...POST, ...large]));
  assert.deepEqual(server.takeFrames(), ["headers 3 :status=431 end"]);
  server.feed(Buffer.concat([headers(5, 0, POST), headers(5, END_STREAM, large)]));
  assert.equal(server.takeFrames().at(-1), "rstStream 5 11");
});

test("a connection's window is respected across streams", () => {
  const server = H2CasePeer.open("server", { connectionWindowBytes: 65_536 });
  server.givesBack = false;
  for (const streamId of [1, 3]) server.feed(headers(streamId, 0, POST));
  const body = "x".repeat(16_384);
  for (const streamId of [1, 3, 1, 3, 1]) server.feed(data(streamId, 0, body));
  assert.equal(server.takeEvents().at(-1), "closed 0 3");
});

test("a client's preface is what a server reads first, then settings", () => {
  const stranger = new H2CasePeer("server");
  stranger.feed(Buffer.from("GET / HTTP/1.1\r\n\r\n", "latin1"), 3);
  assert.deepEqual(stranger.takeEvents(), ["closed 0 1"]);
  for (const kind of ["server", "client"] as const) {
    const hasty = new H2CasePeer(kind);
    if (kind === "server") hasty.feed(Buffer.from(PREFACE_TEXT, "latin1"));
    hasty.feed(frame(FRAME.ping, 0, 0, words(0, 0)));
    assert.deepEqual(hasty.takeEvents(), ["closed 0 1"]);
  }
});

/** Of a client that sent HEAD or GET on stream 1. */
const RESPONSE_ERRORS: readonly (readonly [rule: string, method: string, frames: Buffer[]])[] = [
  ["data follows a head", "GET", [data(1, 0, "x")]],
  ["an interim head ends nothing", "GET", [headers(1, END_STREAM, [":status", "100"])]],
  ["data follows a final head", "GET", [headers(1, 0, [":status", "100"]), data(1, 0, "x")]],
  ["a response is well formed", "GET", [headers(1, 0, ["x", "y"])]],
  ["HEAD brings no body", "HEAD", [headers(1, 0, [":status", "200"]), data(1, 0, "x")]],
  ["204 brings no body", "GET", [headers(1, 0, [":status", "204"]), data(1, 0, "x")]],
  ["304 brings no body", "GET", [headers(1, 0, [":status", "304"]), data(1, 0, "x")]],
  ["a length is kept", "GET", [headers(1, END_STREAM, [":status", "200", "content-length", "1"])]],
];
for (const [rule, method, frames] of RESPONSE_ERRORS) {
  test(`${rule}: else the request ends`, () => {
    const client = H2CasePeer.open("client");
    client.connection.open({ method, authority: "a", path: "/", fields: [] }, "http", true);
    client.takeFrames();
    client.feed(Buffer.concat(frames));
    assert.equal(client.takeEvents().at(-1), "reset 1 1");
    assert.deepEqual(client.takeFrames(), ["rstStream 1 1"]);
  });
}

test("an answer to HEAD and a 304 tell a length without a body", () => {
  const client = H2CasePeer.open("client");
  for (const method of ["HEAD", "GET"]) {
    client.connection.open({ method, authority: "a", path: "/", fields: [] }, "http", true);
  }
  client.feed(headers(1, END_STREAM, [":status", "200", "content-length", "9"]));
  client.feed(headers(3, END_STREAM, [":status", "304", "content-length", "9"]));
  assert.deepEqual(client.takeEvents(), ["response 1 200  end", "response 3 304  end"]);
});

const CLIENT_ERRORS: readonly Case[] = [
  ["servers push nothing", [frame(FRAME.pushPromise, 4, 1, words(2))], protocol],
  ["servers open no streams", [headers(2, 0, [":status", "200"])], protocol],
  ["servers answer what was asked", [headers(1, 0, [":status", "200"])], protocol],
  ["servers do not enable push", [settings(setting(SETTING.enablePush, 1))], protocol],
];
for (const [rule, frames, code] of CLIENT_ERRORS) {
  test(`${rule}: else the connection ends`, () => {
    const client = H2CasePeer.open("client");
    client.feed(Buffer.concat(frames));
    assert.deepEqual(client.takeEvents(), [`closed 0 ${code}`]);
  });
}

test("frames that were under way when we reset their stream are passed over", () => {
  const server = H2CasePeer.open("server");
  server.feed(OPEN);
  server.connection.reset(1, H2_ERROR.cancel);
  server.takeFrames();
  server.takeEvents();
  server.feed(
    Buffer.concat([
      data(1, 0, "x"),
      frame(FRAME.windowUpdate, 0, 1, words(1)),
      headers(1, END_STREAM, ["x", "y"]),
      frame(FRAME.rstStream, 0, 1, words(8)),
    ]),
  );
  assert.deepEqual([server.takeEvents(), server.takeFrames()], [[], []]);
});
