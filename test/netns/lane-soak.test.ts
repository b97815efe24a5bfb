// Ten minutes of all kinds of traffic (seconds outside of `make soak`): what worker and agent hold
// does not grow with what they have served, and goes with the load.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, type TestContext, test } from "node:test";
import { lasting, SOAK } from "../cluster/soak.ts";
import type { FaultRig } from "./fault-rig.ts";
import { buildSoak, type KindReport, soak, withoutEndpoints } from "./lane-soak-load.ts";
import { until } from "./served-node.ts";

const LOAD_MS = lasting(12_000, 600_000);
const SAMPLE_EVERY_MS = 1_000;
/** Files more or fewer, by how many connections happen to be open: for seconds only chance says. */
const FILES_ASIDE = SOAK ? 16 : 100;
/** Files that may stay open after the load, beside those from before it. */
const FILES_LEFT = 10;
const RSS_GROWTH = 1.1;
const RSS_ASIDE_MIB = 16;
const QUIET_WITHIN_MS = 15_000;
const PRINTED_SAMPLES = 60;
const PROCESSES = ["worker", "agent"] as const;

interface Usage {
  readonly rssMib: number;
  readonly files: number;
}

type Sample = Readonly<Record<(typeof PROCESSES)[number], Usage>>;

describe("worker and agent under a lasting mixed load", () => {
  let rig: FaultRig;
  before(async () => {
    rig = await buildSoak();
  });
  after(() => rig[Symbol.asyncDispose]());

  test("no request is lost, and memory and files are flat", async (t) => {
    const take = sampler(rig);
    const idle = take();
    const { samples, wasBusy, reports } = await sampledLoad(rig, take);
    print(t, idle, samples);
    assert(wasBusy, "the gauges never told of the load");
    assertNothingLost(t, reports);
    for (const process of PROCESSES) assertFlat(process, samples);
    await withoutEndpoints(rig);
    await until("nothing under way", () => isQuiet(rig), QUIET_WITHIN_MS);
    const isLeft = (): boolean => {
      const now = take();
      return PROCESSES.every((name) => now[name].files <= idle[name].files + FILES_LEFT);
    };
    await until("files as before the load", isLeft, QUIET_WITHIN_MS);
    t.diagnostic(`after the load: ${JSON.stringify(take())}`);
  });
});

/** @returns what reads both processes, which must be the same all the time */
function sampler(rig: FaultRig): () => Sample {
  const { agent } = rig.served;
  const [worker = assert.fail("no worker"), ...others] = agent.workers();
  assert.deepEqual(others, []);
  return () => ({ worker: usageOf(worker), agent: usageOf(agent.pid) });
}

function usageOf(pid: number): Usage {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const rssMib = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
  return { rssMib: Math.round(rssMib * 10) / 10, files: readdirSync(`/proc/${pid}/fd`).length };
}

async function sampledLoad(rig: FaultRig, take: () => Sample) {
  let isOver = false;
  let wasBusy = false;
  const load = soak(rig, LOAD_MS).finally(() => (isOver = true));
  const samples: Sample[] = [];
  const count = LOAD_MS / SAMPLE_EVERY_MS;
  while (!isOver && samples.length < count) {
    samples.push(take());
    await Promise.race([load, delay(SAMPLE_EVERY_MS)]);
    if (samples.length === Math.floor(count / 2)) wasBusy = !(await isQuiet(rig));
  }
  return { samples, wasBusy, reports: await load };
}

function assertNothingLost(t: TestContext, reports: Readonly<Record<string, KindReport>>): void {
  t.diagnostic(
    Object.entries(reports)
      .map(([kind, { done }]) => `${kind}: ${done}`)
      .join("; "),
  );
  for (const [kind, { done, lost }] of Object.entries(reports)) {
    assert(done > 0, `${kind}: nothing was done`);
    assert.deepEqual(lost.slice(0, 3), [], `${kind}: ${lost.length} lost beside ${done}`);
  }
}

/** The first quarter warms up: what is kept for use is what the second quarter has. */
function assertFlat(process: keyof Sample, samples: readonly Sample[]): void {
  const length = Math.floor(samples.length / 4);
  const [early, late] = [samples.slice(length, 2 * length), samples.slice(-length)];
  const middle = (quarter: readonly Sample[], of: keyof Usage): number =>
    median(quarter.map((sample) => sample[process][of]));
  const [earlyFiles, lateFiles] = [middle(early, "files"), middle(late, "files")];
  assert(lateFiles <= earlyFiles + FILES_ASIDE, `${process}: ${earlyFiles} → ${lateFiles} files`);
  const [earlyMib, lateMib] = [middle(early, "rssMib"), middle(late, "rssMib")];
  const mostMib = earlyMib * RSS_GROWTH + RSS_ASIDE_MIB;
  assert(lateMib <= mostMib, `${process}: ${earlyMib} → ${lateMib} MiB, of ${mostMib}`);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? assert.fail("no samples");
}

/** Gauges are told to the agent each second, and a port without any has no line. */
async function isQuiet(rig: FaultRig): Promise<boolean> {
  const body = await rig.metrics();
  const gauges = /^innermesh_(?:tcp_connections_open|requests_in_flight)(?:\{.*\})? (\d+)$/gm;
  return body.length > 0 && [...body.matchAll(gauges)].every(([, value]) => value === "0");
}

function print(t: TestContext, idle: Sample, samples: readonly Sample[]): void {
  const step = Math.ceil(samples.length / PRINTED_SAMPLES);
  const printed = [idle, ...samples.filter((_, index) => index % step === 0)];
  for (const process of PROCESSES) {
    for (const what of ["rssMib", "files"] as const) {
      t.diagnostic(`${process} ${what}: ${printed.map((one) => one[process][what]).join(" ")}`);
    }
  }
}
