// Claims about when a key is worked on, by a clock that stands still until it is turned.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type FakeClock, makeFakeClock } from "../clock/fake-clock.ts";
import { WorkQueue } from "./work-queue.ts";

interface Rig {
  readonly queue: WorkQueue<string>;
  readonly clock: FakeClock;
  /** Keys in the order in which their work began. */
  readonly begun: string[];
  readonly failures: string[];
  /** Ends the oldest work under way. */
  readonly finish: (error?: Error) => Promise<void>;
  readonly stop: AbortController;
}

function makeRig(workers = 1): Rig {
  const begun: string[] = [];
  const failures: string[] = [];
  const running: PromiseWithResolvers<void>[] = [];
  const clock = makeFakeClock();
  const stop = new AbortController();
  const queue = new WorkQueue<string>({
    work(key) {
      begun.push(key);
      const turn = Promise.withResolvers<void>();
      running.push(turn);
      return turn.promise;
    },
    workers,
    retry: { minMs: 100, maxMs: 1_000 },
    clock,
    random: () => 0.5,
    signal: stop.signal,
    onFailure: (key, error) => failures.push(`${key}: ${String(error)}`),
  });
  const finish = async (error?: Error): Promise<void> => {
    const turn = running.shift();
    assert.ok(turn, "something is under way");
    if (error === undefined) turn.resolve();
    else turn.reject(error);
    await clock.advance(0);
  };
  return { queue, clock, begun, failures, finish, stop };
}

test("a key that is added many times is worked on once", async () => {
  const { queue, clock, begun, finish } = makeRig();
  for (const key of ["a", "b", "a", "a"]) queue.add(key);
  assert.deepEqual(begun, [], "not in the turn of whoever adds");
  await clock.advance(0);
  assert.deepEqual(begun, ["a"]);
  assert.equal(queue.depth, 1);
  await finish();
  await finish();
  assert.deepEqual(begun, ["a", "b"]);
});

test("a key that is added while it is worked on is worked on once more, never twice at a time", async () => {
  const { queue, clock, begun, finish } = makeRig(4);
  queue.add("a");
  await clock.advance(0);
  queue.add("a");
  queue.add("a");
  await clock.advance(0);
  assert.deepEqual(begun, ["a"]);
  await finish();
  assert.deepEqual(begun, ["a", "a"]);
  await finish();
  assert.equal(queue.depth, 0);
});

test("no more keys are worked on at a time than there are workers", async () => {
  const { queue, clock, begun, finish } = makeRig(2);
  for (const key of ["a", "b", "c"]) queue.add(key);
  await clock.advance(0);
  assert.deepEqual(begun, ["a", "b"]);
  await finish();
  assert.deepEqual(begun, ["a", "b", "c"]);
});

test("a key that fails comes again after a while that doubles, and success forgets the failures", async () => {
  const { queue, clock, begun, failures, finish } = makeRig();
  queue.add("a");
  await clock.advance(0);
  for (const waitMs of [50, 100, 200, 400, 500, 500]) {
    const before = begun.length;
    await finish(new Error("no"));
    await clock.advance(waitMs - 1);
    assert.equal(begun.length, before, `still waits after ${waitMs - 1} ms`);
    await clock.advance(1);
    assert.equal(begun.length, before + 1);
  }
  assert.equal(failures.length, 6);
  await finish();
  queue.add("a");
  await clock.advance(0);
  await finish(new Error("no"));
  const before = begun.length;
  await clock.advance(50);
  assert.equal(begun.length, before + 1);
});

test("news about a key that waits after a failure does not wait, and its timer does not add it again", async () => {
  const { queue, clock, begun, finish } = makeRig();
  queue.add("a");
  await clock.advance(0);
  await finish(new Error("no"));
  queue.add("a");
  await clock.advance(0);
  assert.equal(begun.length, 2);
  await finish();
  await clock.advance(10_000);
  assert.equal(begun.length, 2);
});

test("one key's failures do not hold up the others", async () => {
  const { queue, clock, begun, finish } = makeRig();
  queue.add("bad");
  queue.add("good");
  await clock.advance(0);
  await finish(new Error("no"));
  assert.deepEqual(begun, ["bad", "good"]);
});

test("after the signal nothing begins, and idle waits for what is under way", async () => {
  const { queue, clock, begun, finish, stop } = makeRig();
  queue.add("a");
  queue.add("b");
  await clock.advance(0);
  stop.abort();
  let idle = false;
  const waiting = queue.idle().then(() => (idle = true));
  await clock.advance(0);
  assert.equal(idle, false);
  await finish();
  await waiting;
  queue.add("c");
  await clock.advance(10_000);
  assert.deepEqual(begun, ["a"]);
});
