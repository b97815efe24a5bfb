import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  block,
  data,
  END_HEADERS,
  END_STREAM,
  exchange,
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

const REQUEST = { method: "POST", authority: "svc:80", path: "/x", fields: ["te", "trailers"] };

interface Pair {
  readonly client: H2CasePeer;
  readonly server: H2CasePeer;
}

function connect(limits: ConstructorParameters<typeof H2CasePeer>[1] = {}): Pair {
  const client = new H2CasePeer("client", limits);
  const server = new H2CasePeer("server", limits);
  exchange(client, server);
  return { client, server };
}

function open({ client }: Pair, endStream: boolean): number {
  const streamId = client.connection.open(REQUEST, "http", endStream);
  assert(streamId !== undefined);
  return streamId;
}

function send(peer: H2CasePeer, streamId: number, text: string, endStream: boolean): number {
  const bytes = Buffer.from(text, "latin1");
  return peer.connection.data(streamId, bytes, 0, bytes.length, endStream);
}

test("a request and its response cross with bodies, an interim head and trailers", () => {
  const pair = connect();
  const { client, server } = pair;
  const streamId = open(pair, false);
  send(client, streamId, "ping", true);
  exchange(client, server);
  assert.deepEqual(server.takeEvents(), [
    'request 1 {"method":"POST","authority":"svc:80","path":"/x","fields":["te","trailers"],' +
      '"scheme":"http","expectContinue":false}',
    "data 1 ping end",
  ]);
  server.connection.respond(1, { status: 103, fields: ["link", "</a>"] }, false);
  server.connection.respond(1, { status: 200, fields: ["server", "s"], contentLength: 4 }, false);
  send(server, 1, "pong", false);
  server.connection.trailers(1, ["grpc-status", "0"]);
  exchange(client, server);
  assert.deepEqual(client.takeEvents(), [
    "response 1 103 link </a>",
    "response 1 200 server s",
    "data 1 pong",
    "trailers 1 grpc-status 0",
  ]);
  assert.equal(client.connection.busyStreams + server.connection.busyStreams, 0);
});

test("what is told beside the fields crosses as fields", () => {
  const { client, server } = connect();
  client.connection.open({ ...REQUEST, contentLength: 3, expectContinue: true }, "https", false);
  assert.deepEqual(client.takeFrames(), [
    "headers 1 :method=POST :scheme=https :path=/x :authority=svc:80 expect=100-continue " +
      "content-length=3 te=trailers",
  ]);
  server.feed(headers(1, 0, [...POST, "content-length", "3", "expect", "100-continue"]));
  assert.match(server.takeEvents().join(), /"contentLength":3,"expectContinue":true/);
});

test("CONNECT and extended CONNECT cross, once the server says it takes the latter", () => {
  const early = new H2CasePeer("client");
  assert.equal(early.connection.canOpenExtendedConnect, false);
  const { client, server } = connect();
  assert.equal(client.connection.canOpenExtendedConnect, true);
  const head = { method: "CONNECT", authority: "10.0.0.1:80", fields: [] };
  client.connection.open({ ...head, path: "" }, "", false);
  client.connection.open({ ...head, path: "/chat", upgrade: "websocket" }, "https", false);
  exchange(client, server);
  const [plain = "", extended = ""] = server.takeEvents();
  assert.match(plain, /"authority":"10.0.0.1:80","path":"","fields":\[\],"scheme":""/);
  assert.match(extended, /"path":"\/chat","upgrade":"websocket"/);
  for (const streamId of [1, 3]) {
    server.connection.respond(streamId, { status: 200, fields: [] }, false);
    send(server, streamId, "down", false);
  }
  send(client, 1, "up", true);
  exchange(client, server);
  assert.deepEqual(server.takeEvents(), ["data 1 up end"]);
  assert.deepEqual(
    client.takeEvents().filter((event) => event.startsWith("data")),
    ["data 1 down", "data 3 down"],
  );
});

/** Everything a server may be sent in one connection, some of it wrong. */
const CONVERSATION = Buffer.concat([
  Buffer.from(PREFACE_TEXT, "latin1"),
  frame(FRAME.settings, 0, 0, setting(SETTING.initialWindowSize, 10)),
  headers(1, END_STREAM, GET),
  frame(
    FRAME.headers,
    PADDED | 0x20 | END_HEADERS,
    3,
    Buffer.concat([Buffer.of(2), words(0), Buffer.of(16), block(POST), Buffer.alloc(2)]),
  ),
  frame(FRAME.data, PADDED, 3, Buffer.from("\x03hello\0\0\0", "latin1")),
  frame(FRAME.data, PADDED, 3, Buffer.from("\x02\0\0", "latin1")),
  frame(FRAME.ping, 0, 0, Buffer.alloc(8, 7)),
  data(3, 0, " world"),
  frame(99, 255, 77, Buffer.alloc(20)),
  frame(FRAME.headers, END_STREAM, 5, block(GET).subarray(0, 9)),
  frame(FRAME.continuation, 0, 5),
  frame(FRAME.continuation, END_HEADERS, 5, block(GET).subarray(9)),
  headers(3, END_STREAM, ["x-sum", "1"]),
  headers(7, 0, [...POST, "content-length", "2"]),
  data(7, 0, "too long"),
  headers(9, 0, POST),
  frame(FRAME.rstStream, 0, 9, words(8)),
  data(9, 0, "late"),
  headers(11, 0, POST),
  data(11, END_STREAM, ""),
  frame(FRAME.windowUpdate, 0, 1, words(0)),
  frame(FRAME.pushPromise, 0, 1),
]);

test("pieces of any size make the same events and the same answers", () => {
  const run = (pieceBytes: number): readonly [string[], string[]] => {
    const server = new H2CasePeer("server");
    server.feed(CONVERSATION, pieceBytes);
    return [server.takeEvents(), server.takeFrames()];
  };
  const whole = run(CONVERSATION.length);
  assert.deepEqual(
    whole[0].map((event) => event.replace(/\{.*\}/, "…")),
    [
      "request 1 … end",
      "request 3 …",
      "data 3 hello world",
      "request 5 … end",
      "trailers 3 x-sum 1",
      "request 7 …",
      "reset 7 1",
      "request 9 …",
      "reset 9 8",
      "request 11 …",
      "data 11  end",
      "reset 1 1",
      "closed 0 1",
    ],
  );
  for (let pieceBytes = 1; pieceBytes < 60; pieceBytes++) assert.deepEqual(run(pieceBytes), whole);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: CONVERSATION.length - 1 }), (cut) => {
      const server = new H2CasePeer("server");
      server.feed(CONVERSATION.subarray(0, cut));
      server.feed(CONVERSATION.subarray(cut));
      assert.deepEqual([server.takeEvents(), server.takeFrames()], whole);
    }),
  );
});

test("no bytes make it throw, and what a damaged conversation opens is bounded", () => {
  const damage = fc.tuple(fc.nat(CONVERSATION.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 5 }), (damages) => {
      const damaged = Buffer.from(CONVERSATION);
      for (const [at, octet] of damages) damaged[at] = octet;
      const server = new H2CasePeer("server");
      server.feed(damaged, 50);
      assert(server.connection.busyStreams <= 100);
    }),
    { numRuns: 300 },
  );
});

test("no frames make either role throw, and nothing follows the end", () => {
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 30 }),
    fc.constantFrom(block(GET), block([":status", "200"]), words(1), words(0, 0), Buffer.alloc(0)),
  );
  const anyFrame = fc
    .tuple(fc.nat(10), fc.constantFrom(0, 1, 4, 5, 8, 13, 0x24), fc.nat(6), payload)
    .map((parts) => frame(...parts));
  const roles = fc.constantFrom("server" as const, "client" as const);
  fc.assert(
    fc.property(roles, fc.array(anyFrame, { maxLength: 30 }), (role, frames) => {
      const peer = H2CasePeer.open(role);
      if (role === "client") peer.connection.open(REQUEST, "http", false);
      for (const bytes of frames) {
        const wasClosed = peer.connection.closed;
        peer.takeFrames();
        peer.takeEvents();
        peer.feed(bytes);
        const followed = peer.takeEvents().length + peer.takeFrames().length;
        assert(!wasClosed || followed === 0);
      }
    }),
    { numRuns: 500 },
  );
});

test("a server that answered in full may stop the rest of the request", () => {
  const client = H2CasePeer.open("client");
  client.connection.open(REQUEST, "http", false);
  client.feed(headers(1, END_STREAM, [":status", "413"]));
  client.feed(frame(FRAME.rstStream, 0, 1, words(H2_ERROR.noError)));
  assert.deepEqual(client.takeEvents(), ["response 1 413  end", "reset 1 0"]);
  assert.equal(client.connection.busyStreams, 0);
});

test("data stops at the window of its stream, and goes on when it opens", () => {
  const { client, server } = connect();
  const streamId = open({ client, server }, false);
  server.givesBack = false;
  const body = "x".repeat(100_000);
  assert.equal(send(client, streamId, body, true), 65_536);
  exchange(client, server);
  assert.deepEqual(client.takeEvents(), []);
  server.connection.consumed(streamId, 30_000);
  exchange(client, server);
  assert.deepEqual(client.takeEvents(), [], "updates are batched");
  server.connection.consumed(streamId, 10_000);
  exchange(client, server);
  assert.deepEqual(client.takeEvents(), ["window 1"]);
  assert.equal(send(client, streamId, body.slice(65_536), true), 34_464);
  exchange(client, server);
  assert.match(server.takeEvents().at(-1) ?? "", / end$/);
});

test("data stops at the window of the connection, and streams that wait take turns", () => {
  const pair = connect({ connectionWindowBytes: 65_536 });
  const { client, server } = pair;
  const [first, second, third] = [open(pair, false), open(pair, false), open(pair, false)];
  server.givesBack = false;
  assert.equal(send(client, first, "x".repeat(40_000), false), 40_000);
  assert.equal(send(client, second, "x".repeat(40_000), false), 25_536);
  assert.equal(send(client, third, "x", false), 0);
  exchange(client, server);
  server.connection.consumed(first, 40_000);
  exchange(client, server);
  assert.deepEqual(client.takeEvents(), ["window 3", "window 5"]);
});

test("padding is credit that comes back by itself", () => {
  const server = H2CasePeer.open("server");
  server.givesBack = false;
  server.feed(headers(1, 0, POST));
  const padding = Buffer.alloc(200);
  const padded = frame(FRAME.data, PADDED, 1, Buffer.concat([Buffer.from([200, 1]), padding]));
  for (let i = 0; i < 160; i++) server.feed(padded);
  assert.deepEqual(server.takeFrames(), []);
  for (let i = 0; i < 10; i++) server.feed(padded);
  assert.deepEqual(server.takeFrames(), [`windowUpdate 1 ${164 * 201}`]);
});

test("a smaller initial window makes windows negative; data waits until they are not", () => {
  const client = H2CasePeer.open("client");
  client.connection.open(REQUEST, "http", false);
  assert.equal(send(client, 1, "x".repeat(1000), false), 1000);
  client.feed(frame(FRAME.settings, 0, 0, setting(SETTING.initialWindowSize, 500)));
  assert.equal(send(client, 1, "x", false), 0);
  client.feed(frame(FRAME.windowUpdate, 0, 1, words(500)));
  assert.deepEqual(client.takeEvents(), []);
  client.feed(frame(FRAME.windowUpdate, 0, 1, words(1)));
  assert.deepEqual(client.takeEvents(), ["window 1"]);
  assert.equal(send(client, 1, "xx", false), 1);
});

test("an end without data needs no window", () => {
  const client = H2CasePeer.open("client");
  client.feed(frame(FRAME.settings, 0, 0, setting(SETTING.initialWindowSize, 0)));
  client.connection.open(REQUEST, "http", false);
  client.takeFrames();
  assert.equal(send(client, 1, "x", true), 0);
  assert.equal(send(client, 1, "", true), 0);
  assert.deepEqual(client.takeFrames(), ["data 1 0 end"]);
});

test("a head larger than a frame goes out in several and arrives as one", () => {
  const { client, server } = connect();
  const fields = Array.from({ length: 10 }, (_, i) => [`x-${i}`, "v".repeat(5000)]).flat();
  client.connection.open({ ...REQUEST, fields }, "http", true);
  exchange(client, server);
  assert.match(server.takeEvents().join(), /"x-9","v{5000}"/);
});

test("a client opens as many streams as the server lets it, and again when one has ended", () => {
  const pair = connect({ streams: 2 });
  const { client, server } = pair;
  const first = open(pair, true);
  open(pair, true);
  assert.equal(client.connection.canOpen, false);
  assert.equal(client.connection.open(REQUEST, "http", true), undefined);
  exchange(client, server);
  server.connection.respond(first, { status: 204, fields: [] }, true);
  exchange(client, server);
  assert.equal(client.connection.canOpen, true);
});

test("streams beyond the limit are refused, also while handlers still work for reset ones", () => {
  const server = H2CasePeer.open("server", { streams: 2 });
  server.feed(headers(1, END_STREAM, GET));
  server.feed(headers(3, END_STREAM, GET));
  server.feed(headers(5, END_STREAM, GET));
  assert.deepEqual(server.takeFrames(), ["rstStream 5 7"]);
  server.feed(frame(FRAME.rstStream, 0, 3, words(H2_ERROR.cancel)));
  server.feed(headers(7, END_STREAM, GET));
  assert.deepEqual(server.takeFrames(), ["rstStream 7 7"]);
  server.connection.release(3);
  server.takeEvents();
  server.feed(headers(9, END_STREAM, GET));
  assert.match(server.takeEvents().join(), /^request 9/);
});

test("a client hears which requests were never processed", () => {
  const client = H2CasePeer.open("client");
  for (let i = 0; i < 4; i++) client.connection.open(REQUEST, "http", true);
  client.feed(frame(FRAME.rstStream, 0, 3, words(H2_ERROR.refusedStream)));
  client.feed(frame(FRAME.goAway, 0, 0, words(5, H2_ERROR.noError)));
  assert.deepEqual(client.takeEvents(), ["refused 3", "goaway 5 0", "refused 7"]);
  assert.equal(client.connection.canOpen, false);
  client.feed(headers(1, END_STREAM, [":status", "200"]));
  client.feed(headers(5, END_STREAM, [":status", "200"]));
  assert.deepEqual(client.takeEvents().at(-1), "closed 0");
});

test("a server that drains takes requests for a round trip, then none, and closes with the last", () => {
  const pair = connect();
  const { client, server } = pair;
  open(pair, true);
  exchange(client, server);
  server.connection.drain();
  open(pair, true);
  const crossing = client.takeSent();
  const farewell = server.takeSent();
  server.feed(crossing);
  client.feed(farewell);
  assert.equal(client.connection.canOpen, false);
  exchange(client, server);
  server.takeEvents();
  server.connection.respond(1, { status: 204, fields: [] }, true);
  server.connection.respond(3, { status: 204, fields: [] }, true);
  assert.deepEqual(server.takeEvents(), ["closed 0"]);
  exchange(client, server);
  assert.equal(
    client.takeEvents().join(", "),
    "goaway 2147483647 0, goaway 3 0, response 1 204  end, response 3 204  end, closed 0",
  );
});

test("requests that come after a server's last word are passed over, and its table stays whole", () => {
  const server = H2CasePeer.open("server");
  server.feed(headers(1, END_STREAM, GET));
  server.connection.drain();
  server.feed(frame(FRAME.ping, 1, 0, Buffer.from("draining")));
  assert.deepEqual(server.takeFrames(), ["goAway 2147483647 0", "ping", "goAway 1 0"]);
  server.takeEvents();
  server.feed(Buffer.concat([headers(3, 0, POST), data(3, END_STREAM, "x")]));
  assert.deepEqual([server.takeEvents(), server.takeFrames()], [[], []]);
});

test("a client that drains opens nothing more and closes with its last response", () => {
  const pair = connect();
  const { client, server } = pair;
  open(pair, true);
  client.connection.drain();
  assert.equal(client.connection.canOpen, false);
  exchange(client, server);
  server.connection.respond(1, { status: 204, fields: [] }, true);
  exchange(client, server);
  assert.equal(client.takeEvents().at(-1), "closed 0");
  assert.equal(server.takeEvents().at(-1), "closed 0");
});

test("an end at our own wish is told to the peer, and to the handler no more", () => {
  const server = H2CasePeer.open("server");
  server.connection.goAway(H2_ERROR.internal);
  server.feed(headers(1, END_STREAM, GET));
  assert.deepEqual(server.takeFrames(), ["goAway 0 2"]);
  assert.deepEqual(server.takeEvents(), []);
  assert.equal(server.connection.closed, true);
});

test("a ping is answered with its own bytes, and ours tells a sign of life", () => {
  const { client, server } = connect();
  client.connection.ping();
  exchange(client, server);
  assert.deepEqual(client.takeEvents(), ["pong 0"]);
  server.feed(frame(FRAME.ping, 0, 0, Buffer.from("whatever")));
  assert.equal(server.takeSent().toString("latin1", 9), "whatever");
});

test("what a handler does from inside takes effect at once", () => {
  const server = H2CasePeer.open("server");
  server.onEvent = (kind, streamId) => {
    if (kind === "request") server.connection.reset(streamId, H2_ERROR.cancel);
  };
  server.feed(Buffer.concat([headers(1, 0, POST), data(1, END_STREAM, "x")]));
  assert.deepEqual(server.takeFrames(), ["rstStream 1 8"]);
  server.onEvent = () => server.connection.goAway(H2_ERROR.noError);
  server.takeEvents();
  server.feed(Buffer.concat([headers(3, END_STREAM, GET), headers(5, END_STREAM, GET)]));
  assert.equal(server.takeEvents().length, 1);
});

test("an early answer may end before the request, and a reset stops the rest of it", () => {
  const server = H2CasePeer.open("server");
  server.feed(headers(1, 0, POST));
  server.connection.respond(1, { status: 413, fields: [] }, true);
  server.connection.reset(1, H2_ERROR.noError);
  server.feed(data(1, END_STREAM, "rest"));
  assert.deepEqual(server.takeFrames(), ["headers 1 :status=413 end", "rstStream 1 0"]);
});

test("commands for streams that are over do nothing", () => {
  const server = H2CasePeer.open("server");
  server.connection.respond(1, { status: 200, fields: [] }, true);
  server.connection.trailers(1, []);
  server.connection.reset(1, 0);
  assert.equal(send(server, 1, "abc", true), 3);
  assert.deepEqual(server.takeFrames(), []);
});

test("frames are as long as both sides take: ours is told, and the peer's setting is obeyed", () => {
  const lengths = (peerTakes: number): string[] => {
    const peer = H2CasePeer.open("client", { frameBytes: 65_536 });
    const settings = Buffer.alloc(12);
    settings.writeUInt16BE(SETTING.maxFrameSize, 0);
    settings.writeUInt32BE(peerTakes, 2);
    settings.writeUInt16BE(SETTING.initialWindowSize, 6);
    settings.writeUInt32BE(1 << 20, 8);
    peer.feed(frame(FRAME.settings, 0, 0, settings));
    const id = peer.connection.open(
      { method: "CONNECT", authority: "10.0.0.1:80", path: "", fields: [] },
      "",
      false,
    );
    assert(id !== undefined);
    peer.takeFrames();
    peer.connection.data(id, Buffer.alloc(60_000), 0, 60_000, false);
    return peer.takeFrames();
  };
  assert.equal(lengths(16_384).length, 4);
  assert.equal(lengths(20_000).length, 3);
  assert.equal(lengths(1_000_000).length, 1);
  const server = H2CasePeer.open("server", { frameBytes: 65_536 });
  server.feed(frame(FRAME.data + 99, 0, 0, Buffer.alloc(65_536)));
  assert.equal(server.connection.closed, false);
  server.feed(frame(FRAME.data + 99, 0, 0, Buffer.alloc(65_537)));
  assert.equal(server.connection.closed, true);
});
