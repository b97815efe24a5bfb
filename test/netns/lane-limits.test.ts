// Limits of one worker: connections to a Service, those of one client, and what one backend may
// hold of it. Who is above is told at once; nobody else notices.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { HoldReport } from "./fault-client-protocol.ts";
import { FaultRig, measured } from "./fault-rig.ts";
import { until } from "./served-node.ts";

/** Services: of bytes, of HTTP over a backend that will hang, and of HTTP over another. */
const BYTES = 1;
const HANGS = 2;
const WELL = 3;
/** As the plan sets them for every port. */
const MOST_CONNECTIONS = 16_384;
const MOST_OF_CLIENT = 4_096;
/** As every group's circuit has it. */
const MOST_UPSTREAM = 4_096;
const ABOVE = 100;
/** Connections of one client to open a second; those to a backend may not wait for each other. */
const RATE = 1_000;
const BACKEND_RATE = 500;
/** Clients close, their connections are gone on the worker: on a busy machine that takes long. */
const SETTLED_WITHIN_MS = 30_000;
const GET = "GET /limits HTTP/1.1\r\nHost: limits\r\n\r\n";
const FULL = ["client", "lb", "pod-1-1", "pod-1-3"];

describe("limits of a worker", () => {
  let rig: FaultRig;
  before(async () => {
    rig = await FaultRig.build({
      podsPerNode: 3,
      backends: { "pod-1-2": "http1", "pod-2-1": "http1" },
    });
    await rig.put({
      [BYTES]: { pods: ["pod-1-2"], lane: "l4" },
      [HANGS]: { pods: ["pod-2-1"] },
      [WELL]: { pods: ["pod-1-2"] },
    });
    await rig.start(WELL);
  });
  after(() => rig[Symbol.asyncDispose]());

  /** Opens connections that stay; resolves when each was tried. */
  async function hold(
    from: string,
    number: number,
    count: number,
    { first = "", drip = "", ratePerSecond = RATE } = {},
  ): Promise<Held> {
    const caller = rig.client(from);
    const { id } = await caller.call("hold", {
      ...rig.target(number),
      count,
      ratePerSecond,
      first,
      drip,
      dripMs: 100,
      reads: true,
    });
    return {
      report: () => caller.call("held", { id }),
      release: async () => void (await caller.call("release", { id })),
    };
  }

  async function serves(from: string, number: number): Promise<void> {
    const { failures } = await rig.honest(from, number, { durationMs: 300, ratePerSecond: 50 });
    assert.deepEqual(failures, {}, `${from} → Service ${number}`);
  }

  async function counted(series: string, number: number): Promise<number> {
    const labels = [`service="default/case-${number}"`, 'result="limit"'];
    const lines = (await rig.metrics())
      .split("\n")
      .filter((line) => line.startsWith(series) && labels.every((label) => line.includes(label)));
    return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  test("a client has so many connections to a Service; those above are reset", async () => {
    const standing = await hold("client", BYTES, 1, { drip: GET });
    const held = await hold("client", BYTES, MOST_OF_CLIENT - 1 + ABOVE, { first: GET });
    await until("those above cut", async () => {
      return (await held.report()).stillOpen <= MOST_OF_CLIENT - 1;
    });
    await serves("pod-1-1", BYTES);
    await serves("client", WELL);
    const { cutMs, ...report } = await held.report();
    measured("of one client", { ...report, cutMs });
    assert.equal(report.stillOpen, MOST_OF_CLIENT - 1);
    assert.deepEqual(report.answers, { "HTTP/1.1 200 OK": MOST_OF_CLIENT - 1 });
    assert.equal((await standing.report()).stillOpen, 1);
    const refusals = async (): Promise<boolean> =>
      (await counted("innermesh_tcp_connections_total", BYTES)) === ABOVE;
    await until("the refusals counted", refusals);
    for (const one of [standing, held]) await one.release();
    await until("room again", () => isServed("client", BYTES), SETTLED_WITHIN_MS);
  });

  test("a Service has so many connections from all clients together", async () => {
    const holds = await Promise.all(FULL.map((from) => hold(from, WELL, MOST_OF_CLIENT)));
    const above = await hold("node-1", WELL, ABOVE);
    await until("those above cut", async () => (await above.report()).stillOpen === 0);
    await serves("node-1", BYTES);
    let open = 0;
    for (const held of holds) open += (await held.report()).stillOpen;
    assert.equal(open, MOST_CONNECTIONS);
    assert.equal(await isServed("client", WELL), false);
    for (const held of holds) await held.release();
    await until("room again", () => isServed("client", WELL), SETTLED_WITHIN_MS);
    await serves("node-1", WELL);
  });

  test("a backend that hangs holds so many connections; requests above get 503 at once", async () => {
    await rig.backend("pod-2-1").call("mode", { mode: "hang" });
    const share = MOST_UPSTREAM / 2;
    const standing = await hold("client", WELL, 1, { drip: GET });
    const [first, second] = await Promise.all(
      ["client", "pod-1-1"].map((from) => {
        return hold(from, HANGS, share + ABOVE, { first: GET, ratePerSecond: BACKEND_RATE });
      }),
    );
    assert(first !== undefined && second !== undefined);
    const refused = "HTTP/1.1 503 Service Unavailable";
    const answers = async (): Promise<number> => {
      const reports: HoldReport[] = [await first.report(), await second.report()];
      for (const { answers: others } of reports) {
        assert.deepEqual(
          Object.keys(others).filter((line) => line !== refused),
          [],
        );
      }
      return reports.reduce((sum, report) => sum + (report.answers[refused] ?? 0), 0);
    };
    const hanging = async (): Promise<number> =>
      (await rig.backend("pod-2-1").call("counts", {})).inFlight;
    await until("all to hang or be refused", async () => {
      return (await answers()) + (await hanging()) === MOST_UPSTREAM + 2 * ABOVE;
    });
    await serves("pod-1-1", WELL);
    assert.equal(await hanging(), MOST_UPSTREAM);
    assert.equal(await answers(), 2 * ABOVE);
    const flagged = async (): Promise<boolean> =>
      (await counted("innermesh_requests_total", HANGS)) === 2 * ABOVE;
    await until("the refusals counted", flagged);
    assert.equal((await standing.report()).stillOpen, 1);
    await rig.backend("pod-2-1").call("mode", { mode: "ok" });
    for (const held of [standing, first, second]) await held.release();
    await until("room again", () => isServed("client", HANGS), SETTLED_WITHIN_MS);
    await serves("pod-1-1", HANGS);
  });

  async function isServed(from: string, number: number): Promise<boolean> {
    const { ok, started } = await rig.honest(from, number, {
      durationMs: 100,
      ratePerSecond: 20,
      timeoutMs: 2_000,
    });
    return ok === started;
  }
});

interface Held {
  readonly report: () => Promise<HoldReport>;
  readonly release: () => Promise<void>;
}
