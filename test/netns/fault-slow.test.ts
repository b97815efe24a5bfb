// Clients that take their time (F46), and heads without measure (F47): each is cut at its limit, an
// honest client beside them hardly notices, and the worker's memory has a bound.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import type { HoldReport, HoldRequest, HonestReport } from "./fault-client-protocol.ts";
import { FaultRig, measured, SOAK } from "./fault-rig.ts";
import { until } from "./served-node.ts";

const WEB = 1;
/** Of another backend: what the proxy itself suffers is measured. */
const OTHER = 2;
/** The same without a proxy: what the machine itself suffers. */
const PLAIN = 3;
/** Attackers live here; the honest client is outside. */
const ATTACKERS = ["pod-1-1", "pod-1-3", "pod-2-1", "pod-2-2"];
const CONNECTIONS_EACH = 1_000;
const MIB = 1 << 20;
/** What one connection may cost a worker at most: a head of 64 KiB, and its objects. */
const BYTES_EACH = 80 * 1024;
/** With an answer that is not read: the last of what was read waits. */
const ANSWER_BYTES_EACH = 32 * 1024;
/** All of a worker, with 4,000 of them. */
const WORKER_MIB = 200;
/** Below this, noise is larger than a factor of two. */
const NOISE_MS = 10;
const SETTLE_MS = 5_000;
/** Until the buffers of answers that nobody reads are full, and the worker has little to do. */
const FILLED_WITHIN_MS = 60_000;
const IDLE_SHARE = 0.1;
const CLOCK_TICKS_PER_SECOND = 100;
const TRIES = 3;
const HEAD_LIMIT_MS = 10_000;
const BODY_LIMIT_MS = 30_000;
const READ_LIMIT_MS = 300_000;

const HEAD = "GET /x HTTP/1.1\r\nHost: a\r\n";
type Attack = Pick<HoldRequest, "first" | "drip" | "dripMs" | "reads">;

const SLOW_HEAD: Attack = { first: HEAD, drip: "X: y\r\n", dripMs: 1_000, reads: true };
const SLOW_BODY: Attack = {
  first: "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
  drip: "x",
  dripMs: 5_000,
  reads: true,
};
const SLOW_READ: Attack = {
  first: "GET /bytes?n=4000000 HTTP/1.1\r\nHost: a\r\n\r\n",
  drip: "",
  dripMs: 0,
  reads: false,
};

describe("slow clients of the L7 lane", () => {
  let rig: FaultRig;
  before(async () => {
    rig = await FaultRig.build({
      podsPerNode: 3,
      backends: { "pod-1-2": "http1", "pod-2-3": "http1" },
    });
    await rig.put({ [WEB]: { pods: ["pod-1-2"] }, [OTHER]: { pods: ["pod-2-3"] } });
    await rig.served.serve({ number: PLAIN, pods: ["pod-2-3"] });
    await rig.start(WEB);
    await rig.honest("client", OTHER, { durationMs: 2_000 });
  });
  after(() => rig[Symbol.asyncDispose]());

  /** An attack from everywhere. @returns where to look at it, and how to end it */
  async function attack(how: Attack) {
    const held = ATTACKERS.map(async (from) => {
      const client = rig.client(from);
      const many = { count: CONNECTIONS_EACH, ratePerSecond: 250 };
      const { id } = await client.call("hold", { ...rig.target(WEB), ...how, ...many });
      return { client, id };
    });
    const all = await Promise.all(held);
    return {
      reports: (): Promise<readonly HoldReport[]> =>
        Promise.all(all.map(({ client, id }) => client.call("held", { id }))),
      release: () => Promise.all(all.map(({ client, id }) => client.call("release", { id }))),
    };
  }

  /** As the kernel has it: who does not read does not see the end. */
  async function established(from: string): Promise<number> {
    const words = ["ss", "-Htn", "state", "established", "dport", "=", ":80"];
    const { stdout } = await rig.served.playground.exec(rig.host(from).netns, words);
    return stdout.split("\n").filter(Boolean).length;
  }

  /** Of one CPU, over half a second. */
  async function workerShare(): Promise<number> {
    const ticks = (): number => {
      const fields = readFileSync(`/proc/${rig.workerPid()}/stat`, "utf8").split(" ");
      return Number(fields[13]) + Number(fields[14]);
    };
    const before = ticks();
    await delay(500);
    return (ticks() - before) / CLOCK_TICKS_PER_SECOND / 0.5;
  }

  /** Beside one without a proxy. Others use the machine, too: what an attack costs, costs always. */
  async function honestNow(calm: HonestReport) {
    for (let tries = 1; ; tries++) {
      const [beside, plain] = await Promise.all([
        rig.honest("client", OTHER),
        rig.honest("lb", PLAIN),
      ]);
      if (beside.p99Ms <= bearableMs({ calm, plain }) || tries === TRIES) return { beside, plain };
    }
  }

  /** What an attack costs the honest client and the worker, and when it was cut. */
  async function endure(name: string, how: Attack, cutWithinMs: number | undefined) {
    const calm = await rig.honest("client", OTHER);
    const rssBytes = rig.workerRssBytes();
    const under = await attack(how);
    await delay(SETTLE_MS);
    const isFull = async (): Promise<boolean> => (await workerShare()) < IDLE_SHARE;
    if (!how.reads) await until("full buffers", isFull, FILLED_WITHIN_MS);
    const { beside, plain } = await honestNow(calm);
    const workerMib = rig.workerRssBytes() / MIB;
    const grownMib = workerMib - rssBytes / MIB;
    const isCut = async (): Promise<boolean> => {
      const open = await Promise.all(ATTACKERS.map(established));
      return open.every((count) => count === 0);
    };
    if (cutWithinMs !== undefined) await until(`${name} to be cut`, isCut, cutWithinMs + 10_000);
    const reports = await under.reports();
    await under.release();
    const [calmMs, besideMs, plainMs] = [calm.p99Ms, beside.p99Ms, plain.p99Ms];
    measured(name, { calmMs, besideMs, plainMs, grownMib, workerMib, ...reports[0] });
    assert.deepEqual(calm.failures, {});
    assert.deepEqual(beside.failures, {});
    assert(besideMs <= bearableMs({ calm, plain }), `p99 ${calmMs} → ${besideMs} ms`);
    const bytesEach = how.reads ? BYTES_EACH : ANSWER_BYTES_EACH;
    const most = (CONNECTIONS_EACH * ATTACKERS.length * bytesEach) / MIB;
    assert(grownMib < most && workerMib < WORKER_MIB, `${grownMib} MiB of ${most}, ${workerMib}`);
    for (const { opened } of reports) assert(opened >= CONNECTIONS_EACH * 0.99);
    return reports;
  }

  test("heads that never end are cut after 10 s (F46)", async () => {
    for (const { cutMs, answers } of await endure("slow heads", SLOW_HEAD, HEAD_LIMIT_MS)) {
      assert(cutMs.least > HEAD_LIMIT_MS - 500 && cutMs.most < HEAD_LIMIT_MS + 4_000);
      assert.deepEqual(Object.keys(answers), ["HTTP/1.1 408 Request Timeout"]);
    }
  });

  test("bodies that hardly come are cut after 30 s (F46)", async () => {
    const limitMs = SOAK ? BODY_LIMIT_MS : undefined;
    for (const { cutMs, stillOpen } of await endure("slow bodies", SLOW_BODY, limitMs)) {
      if (!SOAK) assert(stillOpen > 0);
      else assert(cutMs.least > BODY_LIMIT_MS - 500 && cutMs.most < BODY_LIMIT_MS + 4_000);
    }
  });

  test("answers that nobody reads are cut after 5 min (F46)", async () => {
    const limitMs = SOAK ? READ_LIMIT_MS : undefined;
    const startMs = performance.now();
    await endure("slow readers", SLOW_READ, limitMs);
    if (SOAK) assert(performance.now() - startMs > READ_LIMIT_MS);
  });

  for (const [name, bytes, status] of [
    ["a head of 64 KiB", `${HEAD}${`X: ${"y".repeat(8_000)}\r\n`.repeat(9)}\r\n`, 431],
    ["10,000 fields", `${HEAD}${"X: y\r\n".repeat(10_000)}\r\n`, 431],
    ["a target of 1 MiB", `GET /${"x".repeat(MIB)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
    ["a field name that never ends", `${HEAD}${"x".repeat(100_000)}`, 431],
  ] as const) {
    test(`${name} is answered ${status} and closed; memory is bounded (F47)`, async () => {
      const rssBytes = rig.workerRssBytes();
      const count = SOAK ? 400 : 100;
      const answers = await Promise.all(
        Array.from({ length: count }, (_, i) =>
          rig.client(ATTACKERS[i % 2] ?? "").call("exchange", {
            ...rig.target(WEB),
            writes: [{ bytes }],
            forMs: 10_000,
          }),
        ),
      );
      const statuses = new Set(answers.map(({ received }) => received.slice(9, 12)));
      const grownMib = (rig.workerRssBytes() - rssBytes) / MIB;
      measured(name, { statuses: [...statuses], grownMib });
      // A client that still writes may see the reset before it reads the answer.
      statuses.delete("");
      assert.deepEqual([...statuses], [`${status}`]);
      assert(answers.every(({ end }) => end !== "open"));
      assert(grownMib < (count * BYTES_EACH) / MIB + 32);
    });
  }
});

function bearableMs({ calm, plain }: Readonly<Record<"calm" | "plain", HonestReport>>): number {
  return 2 * Math.max(calm.p99Ms, plain.p99Ms, NOISE_MS);
}
