import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import type { Clock } from "../../lib/clock/clock.ts";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { systemClock } from "../../lib/clock/system-clock.ts";
import { makeLogger } from "../../lib/log/logger.ts";
import { Succession } from "./succession.ts";

const USER = process.getuid?.() ?? assert.fail("Linux only");

const ALIKE = { userId: USER, clock: systemClock as Clock };

/** Agents of one namespace; all end with the test. */
function agents(t: TestContext) {
  const name = `im-test-${randomUUID()}`;
  return ({ userId = USER, clock = systemClock }: Partial<typeof ALIKE> = {}) => {
    const stop = new AbortController();
    const lines: string[] = [];
    const asked = Promise.withResolvers<void>();
    const destination = { write: (line: string) => void lines.push(line) };
    const log = makeLogger({ level: "info", format: "json", destination });
    const succession = new Succession(
      { name, userId, clock, log, onAsked: asked.resolve },
      stop.signal,
    );
    t.after(() => {
      stop.abort();
      succession.close();
    });
    return { succession, stop, lines, asked: asked.promise };
  };
}

test("who is alone has the place at once, and ends without waiting for anybody", async (t) => {
  const { succession } = agents(t)();
  assert.equal(succession.isHeld, true);
  await succession.held;
  await succession.takeOver();
  await succession.settle();
  assert.equal(await succession.resign(), "alone");
  succession.farewell();
  await succession.standBy(AbortSignal.abort());
});

test("old doors close after new ones are open, and the new agent hears of it", async (t) => {
  const start = agents(t);
  const [old, young] = [start(), start()];
  assert.equal(young.succession.isHeld, false);
  const steps: string[] = [];
  const taken = young.succession.takeOver().then(() => steps.push("place taken"));
  await old.asked;
  steps.push("old one asked");
  const resigned = old.succession.resign().then((end) => steps.push(`old one hears: ${end}`));
  await taken;
  assert.equal(young.succession.isHeld, true);
  assert.equal(young.succession.hasPredecessor, true);
  const settled = young.succession.settle().then(() => steps.push("old doors closed"));
  await resigned;
  old.succession.farewell();
  await settled;
  assert.deepEqual(steps, [
    "old one asked",
    "place taken",
    "old one hears: succeeded",
    "old doors closed",
  ]);
});

test("a successor that dies before its workers listen leaves the old agent alone", async (t) => {
  const start = agents(t);
  const [old, young] = [start(), start()];
  const taken = young.succession.takeOver();
  await old.asked;
  young.stop.abort();
  await taken;
  assert.equal(await old.succession.resign(), "alone");
});

test("of two newcomers one takes over from the holder, and the other from that one", async (t) => {
  const start = agents(t);
  const old = start();
  const young = [start(), start()];
  const taken = young.map(({ succession }) => succession.takeOver());
  await old.asked;
  const first = old.succession.resign().then((end) => (old.succession.farewell(), end));
  await Promise.race(taken);
  const [winner, other] = young[0]?.succession.isHeld === true ? young : young.toReversed();
  assert(winner !== undefined && other !== undefined);
  await winner.succession.settle();
  assert.equal(await first, "succeeded");
  await winner.asked;
  void winner.succession.resign();
  await Promise.all(taken);
  assert.equal(other.succession.isHeld, true);
});

test("a process of another user gets nothing, whichever side it is on", async (t) => {
  const start = agents(t);
  const stranger = USER + 1;
  const [old, young] = [start(), start({ userId: stranger })];
  await young.succession.takeOver();
  assert.equal(young.succession.isHeld, false);
  assert.match(young.lines.join(), /pretends to serve this node/);
  assert.equal(await old.succession.resign(), "alone");
});

test("who was replaced waits until it is told to end, or its successor is gone", async (t) => {
  const start = agents(t);
  const [old, young] = [start(), start()];
  const taken = young.succession.takeOver();
  await old.asked;
  const resigned = old.succession.resign();
  await taken;
  const settled = young.succession.settle();
  await resigned;
  old.succession.farewell();
  await settled;
  const told = new AbortController();
  const waiting = old.succession.standBy(told.signal);
  told.abort();
  await waiting;
});

test("a holder that does not answer is left behind, and goes when it can", async (t) => {
  const start = agents(t);
  const clock = makeFakeClock();
  const old = start();
  const young = start({ clock });
  const taken = young.succession.takeOver();
  await old.asked;
  await clock.advance(10_000);
  await taken;
  assert.deepEqual([young.succession.isHeld, young.succession.hasPredecessor], [false, false]);
  assert.match(young.lines.join(), /does not answer/);
  assert.equal(await old.succession.resign(), "succeeded");
  assert.equal(young.succession.isHeld, true);
});
