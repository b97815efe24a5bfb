// Attacks on the HTTP/2 side of the L7 lane (F49), and what one tenant's cancellations cost another
// (F50): the attacker is closed, an endpoint never sees more streams than one connection may have,
// and an honest client beside loses nothing.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import {
  block,
  data,
  END_HEADERS,
  END_STREAM,
  fieldLines,
  frame,
  headers,
  POST,
  PREFACE_TEXT,
  setting,
  words,
} from "../../lib/http/h2-case-peer.ts";
import { FRAME } from "../../lib/http/h2-frame.ts";
import { DEFAULT_H2_LIMITS } from "../../lib/http/h2-limits.ts";
import type { RawAnswer, RawWrite } from "./fault-client-protocol.ts";
import { FaultRig, measured } from "./fault-rig.ts";

/** The same backend twice: as the attacker's Service, and as the honest client's. */
const ATTACKED = 1;
const HONEST = 2;
const H2_BACKEND = 3;
const POD = "pod-1-2";
const H2_POD = "pod-2-2";
const CANCEL = 8;
const MIB = 1 << 20;
const SETTINGS = frame(FRAME.settings, 0, 0);
const HELLO = [Buffer.from(PREFACE_TEXT, "latin1"), SETTINGS];

function get(path: string): string[] {
  return fieldLines(":method: GET", ":scheme: http", `:path: ${path}`, ":authority: a");
}

/** Numbers of streams as a client gives them. */
function streams(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => 2 * i + 1);
}

function repeated(count: number, one: Buffer): readonly Buffer[] {
  return Array.from({ length: count }, () => one);
}

/** A reference to the newest entry of the dynamic table, four thousand bytes large, many times. */
function hpackBomb(): Buffer {
  const value = Buffer.alloc(4_000, "b");
  const first = Buffer.concat([
    Buffer.of(0x40, 1),
    Buffer.from("x"),
    Buffer.of(0x7f, ((value.length - 127) % 128) | 128, (value.length - 127) >> 7),
    value,
  ]);
  return Buffer.concat([block(get("/bomb")), first, Buffer.alloc(10_000, 0xbe)]);
}

interface Attack {
  readonly name: string;
  readonly frames: () => readonly Buffer[];
  /** The error code of GOAWAY: ENHANCE_YOUR_CALM unless it breaks a rule. */
  readonly code: number;
}

const CALM = 11;
const ATTACKS: readonly Attack[] = [
  {
    name: "rapid reset",
    frames: () =>
      streams(5_000).flatMap((id) => [
        headers(id, END_STREAM, get("/slow?ms=1000")),
        frame(FRAME.rstStream, 0, id, words(CANCEL)),
      ]),
    code: CALM,
  },
  {
    name: "MadeYouReset: windows of nothing",
    frames: () =>
      streams(5_000).flatMap((id) => [
        headers(id, END_STREAM, get("/slow?ms=1000")),
        frame(FRAME.windowUpdate, 0, id, words(0)),
      ]),
    code: CALM,
  },
  {
    name: "MadeYouReset: DATA behind the end",
    frames: () =>
      streams(5_000).flatMap((id) => [
        headers(id, END_STREAM, get("/slow?ms=1000")),
        data(id, 0, "late"),
      ]),
    code: CALM,
  },
  {
    name: "MadeYouReset: windows that overflow",
    frames: () =>
      streams(5_000).flatMap((id) => [
        headers(id, END_STREAM, get("/slow?ms=1000")),
        frame(FRAME.windowUpdate, 0, id, words(0x7fffffff)),
      ]),
    code: CALM,
  },
  {
    name: "CONTINUATION without end",
    frames: () => [
      frame(FRAME.headers, END_STREAM, 1, block(get("/"))),
      ...repeated(50_000, frame(FRAME.continuation, 0, 1, block(["x", "y"]))),
    ],
    code: CALM,
  },
  { name: "SETTINGS", frames: () => repeated(20_000, SETTINGS), code: CALM },
  {
    name: "SETTINGS that change the table",
    frames: () => repeated(20_000, frame(FRAME.settings, 0, 0, setting(1, 0))),
    code: CALM,
  },
  {
    name: "PING",
    frames: () => repeated(20_000, frame(FRAME.ping, 0, 0, Buffer.alloc(8))),
    code: CALM,
  },
  {
    name: "empty DATA",
    frames: () => [headers(1, 0, POST), ...repeated(20_000, data(1, 0, ""))],
    code: CALM,
  },
  {
    name: "PRIORITY",
    frames: () => repeated(50_000, frame(FRAME.priority, 0, 1, Buffer.alloc(5))),
    code: CALM,
  },
  {
    name: "WINDOW_UPDATE of one byte",
    frames: () => repeated(50_000, frame(FRAME.windowUpdate, 0, 0, words(1))),
    code: CALM,
  },
  {
    name: "a window of stream 0 that overflows",
    frames: () => repeated(2, frame(FRAME.windowUpdate, 0, 0, words(0x7fffffff))),
    code: 3,
  },
  {
    name: "an HPACK bomb",
    frames: () =>
      streams(200).map((id) => frame(FRAME.headers, END_STREAM | END_HEADERS, id, hpackBomb())),
    code: CALM,
  },
];

describe("attacks in HTTP/2 on the L7 lane", () => {
  let rig: FaultRig;
  before(async () => {
    rig = await FaultRig.build({
      podsPerNode: 2,
      backends: { [POD]: "http1", [H2_POD]: "http2" },
    });
    await rig.put({
      [ATTACKED]: { pods: [POD] },
      [HONEST]: { pods: [POD] },
      [H2_BACKEND]: { pods: [H2_POD], h2: true },
    });
    await rig.start(HONEST);
  });
  beforeEach(async () => {
    for (const pod of [POD, H2_POD]) await rig.backend(pod).call("reset", {});
  });
  after(() => rig[Symbol.asyncDispose]());

  function send(
    from: string,
    frames: readonly Buffer[],
    forMs = 8_000,
    service = ATTACKED,
  ): Promise<RawAnswer> {
    const bytes = Buffer.concat([...HELLO, ...frames]).toString("latin1");
    const request = { ...rig.target(service), writes: [{ bytes }], forMs };
    return rig.client(from).call("exchange", request);
  }

  for (const { name, frames, code } of ATTACKS) {
    test(`${name}: the attacker is closed, others lose nothing (F49)`, async () => {
      const rssBytes = rig.workerRssBytes();
      const [beside, ...attackers] = await Promise.all([
        rig.honest("client", HONEST, { durationMs: 1_500, protocol: "http2" }),
        send("pod-1-1", frames()),
        send("pod-2-1", frames()),
      ]);
      const { mostInFlight } = await rig.backend(POD).call("counts", {});
      const grownMib = Math.round((rig.workerRssBytes() - rssBytes) / MIB);
      const ends = attackers.map((one) => `${one.end} ${goAwayCode(one)}`);
      measured(name, { ends, mostInFlight, grownMib, p99Ms: beside.p99Ms });
      assert.deepEqual(beside.failures, {});
      for (const answer of attackers) {
        assert.notEqual(answer.end, "open");
        // Whose bytes are still on their way may see a reset before it has read GOAWAY.
        assert([code, undefined].includes(goAwayCode(answer)), `${goAwayCode(answer)}`);
      }
      const honest = 100;
      assert(mostInFlight <= attackers.length * DEFAULT_H2_LIMITS.streams + honest);
      assert(grownMib < 64);
    });
  }

  for (const [service, pod] of [
    [ATTACKED, POD],
    [H2_BACKEND, H2_POD],
  ] as const) {
    test(`${pod}: resets of requests that have arrived leave no more than a connection may have (F49)`, async () => {
      const wave = (round: number): readonly RawWrite[] => {
        const ids = streams(DEFAULT_H2_LIMITS.streams).map((id) => id + round * 200);
        const asked = ids.map((id) => headers(id, END_STREAM, get("/slow?ms=5000")));
        const reset = ids.map((id) => frame(FRAME.rstStream, 0, id, words(CANCEL)));
        return [
          { bytes: Buffer.concat(asked).toString("latin1") },
          { bytes: Buffer.concat(reset).toString("latin1"), afterMs: 40 },
        ];
      };
      const hello = { bytes: Buffer.concat(HELLO).toString("latin1") };
      const writes = [hello, ...Array.from({ length: 40 }, (_, round) => wave(round)).flat()];
      const [beside, answer] = await Promise.all([
        rig.honest("client", service, { durationMs: 2_500, protocol: "http2" }),
        rig.client("pod-1-1").call("exchange", { ...rig.target(service), writes, forMs: 6_000 }),
      ]);
      const counts = await rig.backend(pod).call("counts", {});
      const { requests, mostInFlight, cancelled } = counts;
      measured(`${pod} resets`, { end: answer.end, requests, mostInFlight, cancelled });
      assert.deepEqual(beside.failures, {});
      assert.equal(goAwayCode(answer), CALM);
      // A backend on a busy machine hears of resets late; were there none, all would be in flight.
      assert(mostInFlight <= 5 * DEFAULT_H2_LIMITS.streams, `${mostInFlight}`);
      assert(mostInFlight < requests / 2, `${mostInFlight} of ${requests}`);
    });
  }

  test("windows that never open hold nobody up, and what they hold is bounded (F49)", async () => {
    const rssBytes = rig.workerRssBytes();
    const shut = frame(FRAME.settings, 0, 0, setting(4, 0));
    const asked = streams(100).map((id) => headers(id, END_STREAM, get("/bytes?n=1000000")));
    const [beside, answer] = await Promise.all([
      rig.honest("client", HONEST, { durationMs: 2_000, protocol: "http2" }),
      send("pod-1-1", [shut, ...asked], 2_500),
    ]);
    const grownMib = (rig.workerRssBytes() - rssBytes) / MIB;
    measured("zero window", { end: answer.end, bytes: answer.receivedBytes, grownMib });
    assert.deepEqual(beside.failures, {});
    assert(answer.receivedBytes < 100_000);
    assert(grownMib < 64, `${grownMib} MiB`);
  });

  for (const [service, pod] of [
    [ATTACKED, POD],
    [H2_BACKEND, H2_POD],
  ] as const) {
    test(`${pod}: one tenant cancels 5,000 streams, another loses no request (F50)`, async () => {
      const others = rig.honest("client", service, {
        durationMs: 6_000,
        ratePerSecond: 100,
        protocol: "http2",
        path: "/slow?ms=50&n={n}",
      });
      // Paced below what counts as a flood: an unkind tenant, not an attacker.
      let cancelled = 0;
      for (let round = 0; round < 10; round++) {
        const frames = streams(500).flatMap((id) => [
          headers(id, END_STREAM, get("/slow?ms=1000")),
          frame(FRAME.rstStream, 0, id, words(CANCEL)),
        ]);
        const answer = await send("pod-1-1", frames, 300, service);
        assert.equal(goAwayCode(answer), undefined);
        cancelled += 500;
      }
      const report = await others;
      const counts = await rig.backend(pod).call("counts", {});
      const { requests, mostInFlight, connections } = counts;
      measured("cancellations", { cancelled, report, requests, mostInFlight, connections });
      assert.deepEqual(report.failures, {});
      assert.equal(report.ok, 600);
    });
  }
});

/** Of the last GOAWAY that came with an error; undefined when none did. */
function goAwayCode({ received }: RawAnswer): number | undefined {
  const bytes = Buffer.from(received, "latin1");
  for (let at = 0; at + 17 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
    if (bytes[at + 3] !== FRAME.goAway) continue;
    const code = bytes.readUInt32BE(at + 13);
    if (code !== 0) return code;
  }
  return undefined;
}
