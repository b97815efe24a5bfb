// Each flood that the guard names: below the limit nothing happens, beyond it the connection ends
// with ENHANCE_YOUR_CALM, and in time the same amount is fine (CVE-2019-9511 to 9518,
// CVE-2023-44487, CVE-2025-8671, CVE-2026-21714).

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
  POST,
  setting,
  words,
} from "./h2-case-peer.ts";
import { FRAME, H2_ERROR, SETTING } from "./h2-frame.ts";
import { DEFAULT_H2_LIMITS, type FloodKind } from "./h2-limits.ts";

interface Flood {
  readonly name: string;
  readonly kind: FloodKind;
  readonly role: "server" | "client";
  /** Once before the flood. */
  readonly first: readonly Buffer[];
  /** The i-th wave; each costs one token. */
  readonly wave: (i: number) => readonly Buffer[];
}

const none = (): readonly Buffer[] => [];
const streamOf = (i: number): number => 3 + i * 2;

const FLOODS: readonly Flood[] = [
  {
    name: "rapid reset",
    kind: "peer-resets",
    role: "server",
    first: none(),
    wave: (i) => [
      headers(streamOf(i), 0, GET),
      frame(FRAME.rstStream, 0, streamOf(i), words(H2_ERROR.cancel)),
    ],
  },
  {
    name: "MadeYouReset by a window that overflows",
    kind: "own-resets",
    role: "server",
    first: none(),
    wave: (i) => [
      headers(streamOf(i), END_STREAM, GET),
      frame(FRAME.windowUpdate, 0, streamOf(i), words(2 ** 31 - 1)),
    ],
  },
  {
    name: "MadeYouReset by an increment of 0",
    kind: "own-resets",
    role: "server",
    first: none(),
    wave: (i) => [
      headers(streamOf(i), END_STREAM, GET),
      frame(FRAME.windowUpdate, 0, streamOf(i), words(0)),
    ],
  },
  {
    name: "MadeYouReset by data behind the end",
    kind: "own-resets",
    role: "server",
    first: none(),
    wave: (i) => [headers(streamOf(i), END_STREAM, GET), data(streamOf(i), 0, "x")],
  },
  {
    name: "malformed requests",
    kind: "own-resets",
    role: "server",
    first: none(),
    wave: (i) => [headers(streamOf(i), END_STREAM, [":method", "GET"])],
  },
  {
    name: "SETTINGS",
    kind: "settings",
    role: "server",
    first: none(),
    wave: () => [frame(FRAME.settings, 0, 0, setting(SETTING.initialWindowSize, 1))],
  },
  {
    name: "PING",
    kind: "pings",
    role: "server",
    first: none(),
    wave: () => [frame(FRAME.ping, 0, 0, Buffer.alloc(8))],
  },
  {
    name: "empty DATA",
    kind: "empty-data",
    role: "server",
    first: [headers(1, 0, POST)],
    wave: () => [data(1, 0, "")],
  },
  {
    name: "WINDOW_UPDATE of the connection",
    kind: "window-updates",
    role: "server",
    first: none(),
    wave: () => [frame(FRAME.windowUpdate, 0, 0, words(1))],
  },
  {
    name: "PRIORITY",
    kind: "idle-frames",
    role: "server",
    first: none(),
    wave: (i) => [frame(FRAME.priority, 0, streamOf(i), Buffer.alloc(5))],
  },
  {
    name: "unknown frames",
    kind: "idle-frames",
    role: "server",
    first: none(),
    wave: () => [frame(200, 0, 0)],
  },
  {
    name: "interim responses",
    kind: "interim-responses",
    role: "client",
    first: none(),
    wave: () => [headers(1, 0, [":status", "103"])],
  },
];

/** Buckets of ten, one a second. */
const SMALL = { burst: 10, perSecond: 1 };

function start({ kind, role, first }: Flood, nowMs = 0): H2CasePeer {
  const floods = { ...DEFAULT_H2_LIMITS.floods, [kind]: SMALL };
  const peer = new H2CasePeer(role, { floods });
  peer.nowMs = nowMs;
  if (role === "server") peer.feed(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
  else peer.connection.open({ method: "GET", authority: "a", path: "/", fields: [] }, "http", true);
  peer.onEvent = (event, streamId) => {
    if (event === "reset") peer.connection.release(streamId);
  };
  // The first SETTINGS take a token, too.
  peer.feed(Buffer.concat([frame(FRAME.settings, 0, 0), ...first]));
  return peer;
}

for (const flood of FLOODS) {
  const allowed = flood.kind === "settings" ? SMALL.burst - 1 : SMALL.burst;
  test(`${flood.name}: borne up to the limit, and ended beyond it`, () => {
    const peer = start(flood);
    for (let i = 0; i < allowed; i++) peer.feed(Buffer.concat(flood.wave(i)));
    assert.equal(peer.connection.closed, false);
    peer.feed(Buffer.concat(flood.wave(allowed)));
    assert.equal(peer.takeEvents().at(-1), `closed 0 ${H2_ERROR.enhanceYourCalm}`);
    assert.match(peer.takeFrames().at(-1) ?? "", /^goAway \d+ 11$/);
  });

  test(`${flood.name}: time before the connection counts for nothing`, () => {
    const peer = start(flood, 1_000_000);
    for (let i = 0; i <= allowed; i++) peer.feed(Buffer.concat(flood.wave(i)));
    assert.equal(peer.takeEvents().at(-1), `closed 0 ${H2_ERROR.enhanceYourCalm}`);
  });

  test(`${flood.name}: the same amount over time is none`, () => {
    const peer = start(flood);
    for (let i = 0; i < 100; i++, peer.nowMs += 1000) peer.feed(Buffer.concat(flood.wave(i)));
    assert.equal(peer.connection.closed, false);
  });
}

test("refused streams: a client that ignores the limit of streams is ended", () => {
  const floods = { ...DEFAULT_H2_LIMITS.floods, "refused-streams": SMALL };
  const server = H2CasePeer.open("server", { streams: 5, floods });
  for (let i = 0; i < 15; i++) server.feed(headers(streamOf(i), 0, POST));
  assert.equal(server.connection.closed, false);
  server.feed(headers(streamOf(15), 0, POST));
  assert.equal(server.takeEvents().at(-1), "closed 0 11");
});

test("rapid reset: streams that end well pay for others that are cancelled", () => {
  const floods = { ...DEFAULT_H2_LIMITS.floods, "peer-resets": SMALL };
  const server = H2CasePeer.open("server", { floods });
  server.onEvent = (kind, streamId) => {
    if (kind === "reset") server.connection.release(streamId);
    if (kind === "data") server.connection.respond(streamId, { status: 200, fields: [] }, true);
  };
  for (let i = 0; i < 400; i += 2) {
    const [good, cancelled] = [streamOf(i), streamOf(i + 1)];
    server.feed(Buffer.concat([headers(good, 0, POST), headers(cancelled, 0, POST)]));
    server.feed(frame(FRAME.rstStream, 0, cancelled, words(H2_ERROR.cancel)));
    server.feed(data(good, END_STREAM, "x"));
  }
  assert.equal(server.connection.closed, false);
});

test("resets below the limit cost no other stream anything", () => {
  const server = H2CasePeer.open("server");
  server.feed(headers(1, 0, POST));
  server.onEvent = (kind, streamId) => {
    if (kind === "reset") server.connection.release(streamId);
  };
  for (let i = 0; i < 900; i++) {
    server.feed(headers(streamOf(i), 0, POST));
    server.feed(frame(FRAME.rstStream, 0, streamOf(i), words(H2_ERROR.cancel)));
  }
  server.takeEvents();
  server.feed(data(1, END_STREAM, "still here"));
  assert.deepEqual(server.takeEvents(), ["data 1 still here end"]);
});

test("a client that has reset much opens nothing more for a while, and loses nothing", () => {
  const client = H2CasePeer.open("client", { resetsSent: SMALL });
  const head = { method: "GET", authority: "a", path: "/", fields: [] };
  const kept = client.connection.open(head, "http", true);
  for (let i = 0; i < SMALL.burst; i++) {
    const streamId = client.connection.open(head, "http", true);
    assert(streamId !== undefined);
    client.connection.reset(streamId, H2_ERROR.cancel);
  }
  assert.equal(client.connection.canOpen, false);
  assert.equal(client.connection.open(head, "http", true), undefined);
  client.nowMs = 1000;
  client.feed(headers(kept ?? 0, END_STREAM, [":status", "200"]));
  assert.deepEqual(client.takeEvents(), ["response 1 200  end"]);
  assert.equal(client.connection.canOpen, true);
});

test("CONTINUATION: a block has an end, in frames and in bytes", () => {
  const floods: readonly Buffer[] = [Buffer.alloc(0), Buffer.alloc(16_384, 0x80)];
  for (const piece of floods) {
    const server = H2CasePeer.open("server");
    server.feed(frame(FRAME.headers, 0, 1, block(GET)));
    for (let i = 0; i < 17; i++) server.feed(frame(FRAME.continuation, 0, 1, piece));
    assert.equal(server.takeEvents().at(-1), "closed 0 11");
  }
  const server = H2CasePeer.open("server");
  server.feed(frame(FRAME.headers, 0, 1, block(GET)));
  for (let i = 0; i < 15; i++) server.feed(frame(FRAME.continuation, 0, 1));
  server.feed(frame(FRAME.continuation, END_HEADERS, 1));
  assert.match(server.takeEvents().join(), /^request 1/);
});

test("a window doled out byte by byte ends; one that opens as data is read does not", () => {
  const floods = { ...DEFAULT_H2_LIMITS.floods, "window-updates": SMALL };
  const body = Buffer.alloc(4096);
  const run = (incrementBytes: number): boolean => {
    const client = H2CasePeer.open("client", { floods });
    client.connection.open({ method: "PUT", authority: "a", path: "/", fields: [] }, "http", false);
    client.feed(frame(FRAME.settings, 0, 0, setting(SETTING.initialWindowSize, 0)));
    for (let i = 0; i < 50; i++) {
      client.connection.data(1, body, 0, body.length, false);
      client.feed(frame(FRAME.windowUpdate, 0, 1, words(incrementBytes)));
      client.feed(frame(FRAME.windowUpdate, 0, 0, words(incrementBytes)));
    }
    return client.connection.closed;
  };
  assert.equal(run(1), true);
  assert.equal(run(1024), false);
});

test("pings that come with data are a peer that measures", () => {
  const floods = { ...DEFAULT_H2_LIMITS.floods, pings: SMALL };
  const server = H2CasePeer.open("server", { floods });
  server.feed(headers(1, 0, POST));
  for (let i = 0; i < 100; i++) {
    server.feed(Buffer.concat([data(1, 0, "x"), frame(FRAME.ping, 0, 0, Buffer.alloc(8))]));
  }
  assert.equal(server.connection.closed, false);
});
