import assert from "node:assert/strict";
import { test } from "node:test";

import { type FakeClock, makeFakeClock } from "../lib/clock/fake-clock.ts";
import { maximumConnections, runLoad } from "./load.ts";
import type { LoadReport, LoadRequest, ProbeResult } from "./probe-protocol.ts";

const load: LoadRequest = {
  protocol: "tcp",
  address: "10.96.0.1",
  port: 80,
  ratePerSecond: 100,
  durationMs: 1000,
};

function reply(pod: string): ProbeResult {
  const echo = { pod, node: "node-1", client: "10.71.1.2", clientPort: 1, local: "10.71.1.3:80" };
  return { kind: "reply", text: "", localPort: 1, rttUs: 100, echo };
}

async function runWhole(
  clock: FakeClock,
  attempt: () => Promise<ProbeResult>,
): Promise<LoadReport> {
  const running = runLoad(load, attempt, clock, new AbortController().signal);
  await clock.advance(load.durationMs);
  return running;
}

test("connections start at their rate, the last before the duration is over", async () => {
  const report = await runWhole(makeFakeClock(), () => Promise.resolve(reply("pod-1-1")));
  assert.equal(report.started, 100);
  assert.equal(report.answered, 100);
  assert.deepEqual(report.failures, []);
  assert.deepEqual(report.rttUs, { p50: 100, p99: 100, maximum: 100 });
});

test("connections start on time while earlier ones wait for their answer", async () => {
  const clock = makeFakeClock();
  const startsMs: number[] = [];
  const answerSlowly = async (): Promise<ProbeResult> => {
    startsMs.push(clock.monotonicMs());
    await clock.sleep(500);
    return reply("pod-1-1");
  };
  const running = runLoad(load, answerSlowly, clock, new AbortController().signal);
  await clock.advance(load.durationMs);
  assert.deepEqual(startsMs.slice(0, 3), [0, 10, 20]);
  assert.equal(startsMs.length, 100);
  await clock.advance(500);
  assert.equal((await running).answered, 100);
});

test("every failure is counted with its number and start, and never tried again", async () => {
  let tries = 0;
  const report = await runWhole(makeFakeClock(), () => {
    tries++;
    return Promise.resolve(tries === 7 ? { kind: "refused" } : reply("pod-1-1"));
  });
  assert.equal(tries, 100);
  assert.equal(report.failed, 1);
  assert.deepEqual(report.failures, [{ number: 7, startMs: 60, failure: { kind: "refused" } }]);
});

test("the report tells when each pod answered first and last", async () => {
  const clock = makeFakeClock();
  const report = await runWhole(clock, () =>
    Promise.resolve(reply(clock.monotonicMs() < 500 ? "old" : "new")),
  );
  assert.deepEqual(report.pods, {
    old: { count: 50, firstMs: 0, lastMs: 490 },
    new: { count: 50, firstMs: 500, lastMs: 990 },
  });
});

test("stopping starts no more", async () => {
  const controller = new AbortController();
  const clock = makeFakeClock();
  const answer = () => Promise.resolve(reply("pod-1-1"));
  const running = runLoad(load, answer, clock, controller.signal);
  await clock.advance(95);
  controller.abort();
  assert.equal((await running).started, 10);
});

test("a load without a sensible end is refused", async () => {
  const endless = { ...load, durationMs: maximumConnections * 1000 };
  const { signal } = new AbortController();
  const answer = () => Promise.resolve(reply("pod-1-1"));
  await assert.rejects(runLoad(endless, answer, makeFakeClock(), signal), /too long/);
});
