// What lasts, across an upgrade and across the end of the agent (F53): it goes on to its end or to
// the drain's limit, is told of that where the protocol has a word for it, and nothing that was cut
// short looks whole.

import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import type { LongKind, LongReport } from "./fault-client-protocol.ts";
import { FaultRig, measured } from "./fault-rig.ts";

const WEB = 1;
const GRPC = 2;
const KINDS = ["download", "websocket", "h2", "requests"] as const;
const EVERY_MS = 100;
const DRAIN_MS = 3_000;
/** Of each kind; the agent does not matter to the others. */
const EACH = 3;

describe("what lasts in the L7 lane while agents come and go", () => {
  let rig: FaultRig;
  before(async () => {
    rig = await FaultRig.build({
      podsPerNode: 2,
      backends: { "pod-1-2": "http1", "pod-2-2": "http2" },
    });
    await rig.put({ [WEB]: { pods: ["pod-1-2"] }, [GRPC]: { pods: ["pod-2-2"], h2: true } });
    await rig.start(WEB, `--proxy-drain-timeout=${DRAIN_MS}ms`);
  });
  after(() => rig[Symbol.asyncDispose]());

  /** Some of each kind, from a pod and from outside. */
  function start(pieces: number): Promise<Readonly<Record<LongKind, readonly LongReport[]>>> {
    const of = (kind: LongKind): Promise<readonly LongReport[]> => {
      const target = rig.target(kind === "h2" ? GRPC : WEB);
      const request = { ...target, kind, pieces, everyMs: EVERY_MS };
      return Promise.all(
        Array.from({ length: EACH }, (_, i) =>
          rig.client(i % 2 === 0 ? "client" : "pod-1-1").call("long", request),
        ),
      );
    };
    return Promise.all(KINDS.map(async (kind) => [kind, await of(kind)] as const)).then(
      (entries) => Object.fromEntries(entries) as Record<LongKind, readonly LongReport[]>,
    );
  }

  test("an upgrade lets all of it end by itself, within the limit (F53)", async () => {
    const running = start(40);
    await delay(1_000);
    const old = rig.served.agent;
    const oldWorker = rig.workerPid();
    await rig.start(WEB, `--proxy-drain-timeout=${DRAIN_MS * 4}ms`);
    const ended = old.stop();
    const reports = await running;
    assert.notEqual(rig.workerPid(), oldWorker);
    measured("upgrade", Object.fromEntries(KINDS.map((kind) => [kind, reports[kind][0]])));
    for (const kind of KINDS) {
      for (const { complete, pieces, error } of reports[kind]) {
        assert.deepEqual([kind, complete, pieces, error], [kind, true, 40, ""]);
      }
    }
    assert(
      reports.h2.every(({ warned }) => warned),
      "GOAWAY",
    );
    assert(
      reports.requests.every(({ warned }) => warned),
      "Connection: close",
    );
    await ended;
  });

  test("at the drain's limit what is cut looks cut (F53)", async () => {
    await rig.served.agent.stop();
    await rig.start(WEB, `--proxy-drain-timeout=${DRAIN_MS}ms`);
    const running = start(120);
    await delay(1_000);
    const startMs = performance.now();
    await rig.served.agent.stop();
    const stopMs = performance.now() - startMs;
    const reports = await running;
    measured("limit", { stopMs, ...Object.fromEntries(KINDS.map((k) => [k, reports[k][0]])) });
    assert(stopMs < DRAIN_MS + 5_000, `${stopMs}`);
    for (const kind of ["download", "websocket", "h2"] as const) {
      for (const { complete, pieces } of reports[kind]) {
        assert.equal(complete, false, kind);
        assert(pieces > 10 && pieces < 120, `${kind}: ${pieces} pieces`);
      }
    }
    // Without an agent the kernel lane serves; nobody was refused in between.
    for (const { complete, error } of reports.requests) {
      assert.deepEqual([complete, error], [true, ""]);
    }
  });
});
