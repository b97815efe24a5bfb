import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { makeLogger } from "../../lib/log/logger.ts";
import type { ProxyPlanDelta } from "../model/proxy-plan.ts";
import type { FromWorker, ToWorker } from "../model/worker-messages.ts";
import { WorkerPool } from "./worker-pool.ts";

const NOTHING: ProxyPlanDelta = { frontends: [], ports: [], groups: [], clients: [] };
const NEWS: ProxyPlanDelta = { ...NOTHING, frontends: [["10.96.0.1 80", null]] };
const BEAT: FromWorker = {
  kind: "beat",
  telemetry: { edges: [], ejected: [], accessLogLost: 0 },
};
const FILTER = { source: "shop/cart" } as const;

/** A process that says what a test lets it say. */
class FakeWorker {
  readonly told: ToWorker[] = [];
  isKilled = false;
  readonly #listener: { onMessage(message: FromWorker): void; onExit(how: string): void };

  constructor(listener: FakeWorker["listener"]) {
    this.#listener = listener;
  }

  get listener(): { onMessage(message: FromWorker): void; onExit(how: string): void } {
    return this.#listener;
  }

  get pid(): number {
    return 1;
  }

  tell(message: ToWorker): void {
    this.told.push(message);
  }

  kill(): void {
    this.isKilled = true;
    this.#listener.onExit("SIGKILL");
  }

  says(...messages: readonly FromWorker[]): void {
    for (const message of messages) this.#listener.onMessage(message);
  }

  /** The kinds of what it was told, in order. */
  get kinds(): readonly string[] {
    return this.told.map(({ kind }) => kind);
  }
}

function rig(count = 1) {
  const fake = makeFakeClock();
  const skew = { ms: 0 };
  const clock = { ...fake, monotonicMs: () => fake.monotonicMs() + skew.ms };
  const workers: FakeWorker[] = [];
  const events: string[] = [];
  const pool = new WorkerPool({
    count,
    settings: { portInside: 1, portOutside: 2, families: ["ip"], accessLogShare: 0, via: false },
    start: (listener) => {
      const worker = new FakeWorker(listener);
      workers.push(worker);
      return worker;
    },
    wholePlan: () => NOTHING,
    wholeIdentity: () => undefined,
    onIdentityTelemetry: () => {},
    onHealth: () => events.push(pool.healthy ? "healthy" : "unhealthy"),
    onTelemetry: (worker) => events.push(`telemetry of ${worker}`),
    onTapped: (tap) => events.push(`tapped ${tap}`),
    onEnded: (worker) => events.push(`end of ${worker}`),
    clock,
    random: () => 0.5,
    log: makeLogger({ level: "error", format: "json", destination: { write: () => {} } }),
  });
  const worker = (index: number): FakeWorker =>
    workers[index] ?? assert.fail(`worker ${index} was not started`);
  /** Time passes for a pool whose workers beat. */
  const pass = async (durationMs: number, ...beating: readonly FakeWorker[]): Promise<void> => {
    for (let ms = 0; ms < durationMs; ms += 500) {
      for (const one of beating) one.says(BEAT);
      await clock.advance(500);
    }
  };
  return { clock, skew, pool, workers, worker, events, pass };
}

/** True once a promise has settled. */
function settled(promise: Promise<unknown>): { readonly yes: boolean } {
  const state = { yes: false };
  void promise.then(() => (state.yes = true));
  return state;
}

test("workers start once, with the whole plan, and count when their doors are open", () => {
  const { pool, workers, worker, events } = rig(2);
  pool.start();
  pool.start();
  assert.equal(workers.length, 2);
  assert.deepEqual(worker(0).kinds, ["start"]);
  assert.deepEqual([pool.healthy, pool.listening], [false, 0]);
  worker(0).says({ kind: "listening" });
  assert.deepEqual([pool.healthy, pool.listening, events], [true, 1, ["healthy"]]);
});

test("one that dies is replaced at once, and ever later while it goes on dying", async () => {
  const { pool, clock, workers, worker, events } = rig();
  pool.start();
  worker(0).says({ kind: "listening" });
  const delays: number[] = [];
  for (let deaths = 1; deaths < 9; deaths++) {
    const diedMs = clock.monotonicMs();
    worker(deaths - 1).kill();
    while (workers.length === deaths) await clock.advance(5);
    delays.push(clock.monotonicMs() - diedMs);
  }
  assert.deepEqual(delays, [25, 50, 100, 200, 400, 800, 1_600, 2_500]);
  assert.deepEqual(events.slice(0, 3), ["healthy", "end of 1", "unhealthy"]);
});

test("having worked for long, a death is the first again", async () => {
  const { pool, clock, workers, worker, pass } = rig();
  pool.start();
  for (let deaths = 0; deaths < 5; deaths++) {
    worker(deaths).kill();
    await clock.advance(5_000);
  }
  worker(5).says({ kind: "listening" });
  await pass(31_000, worker(5));
  worker(5).kill();
  await clock.advance(25);
  assert.equal(workers.length, 7);
});

test("one that falls silent is not healthy after three seconds, and is ended", async () => {
  const { pool, worker, pass } = rig(2);
  pool.start();
  worker(0).says({ kind: "listening" });
  worker(1).says({ kind: "listening" });
  await pass(4_000, worker(1));
  assert.deepEqual([worker(0).isKilled, worker(1).isKilled, pool.healthy], [true, false, true]);
});

test("one that does not open its doors gets ten seconds", async () => {
  const { pool, worker, pass } = rig();
  pool.start();
  await pass(9_500);
  assert.equal(worker(0).isKilled, false);
  await pass(1_000);
  assert.equal(worker(0).isKilled, true);
});

test("when this process slept itself, nobody is ended for having been silent", async () => {
  const { pool, clock, skew, worker, events } = rig();
  pool.start();
  worker(0).says({ kind: "listening" });
  await clock.advance(0);
  // All timers are late, and what workers said is read after they have run.
  skew.ms = 300_000;
  await clock.advance(1_000);
  assert.equal(worker(0).isKilled, false);
  skew.ms += 3_000;
  assert.equal(pool.healthy, false);
  worker(0).says(BEAT);
  assert.deepEqual([pool.healthy, events.at(-1)], [true, "healthy"]);
});

test("an update waits for those who take connections, and for a second at most", async () => {
  const { pool, clock, worker } = rig(3);
  pool.start();
  worker(0).says({ kind: "listening" });
  worker(1).says({ kind: "listening" });
  const first = settled(pool.update(NEWS));
  worker(0).says({ kind: "applied", sequence: 1 });
  await clock.advance(0);
  assert.equal(first.yes, false);
  worker(1).says({ kind: "applied", sequence: 1 });
  await clock.advance(0);
  assert.equal(first.yes, true);
  const second = settled(pool.update(NEWS));
  await clock.advance(999);
  assert.equal(second.yes, false);
  await clock.advance(1);
  assert.equal(second.yes, true);
  assert.deepEqual(worker(2).kinds, ["start", "plan", "plan"]);
});

test("an update does not wait for one that dies over it", async () => {
  const { pool, clock, worker } = rig();
  pool.start();
  worker(0).says({ kind: "listening" });
  const update = settled(pool.update(NEWS));
  worker(0).kill();
  await clock.advance(0);
  assert.equal(update.yes, true);
});

test("refreshing asks all for their counts, and does not wait long", async () => {
  const { pool, clock, worker } = rig(2);
  pool.start();
  worker(0).says({ kind: "listening" });
  worker(1).says({ kind: "listening" });
  const refresh = settled(pool.refresh());
  worker(0).says(BEAT);
  worker(1).says(BEAT);
  await clock.advance(0);
  assert.equal(refresh.yes, true);
  const late = settled(pool.refresh());
  await clock.advance(500);
  assert.equal(late.yes, true);
});

test("taps are told to workers that start later, too", async () => {
  const { pool, clock, worker, events } = rig();
  pool.start();
  pool.tap(7, FILTER);
  pool.tap(8, FILTER);
  pool.untap(7);
  assert.deepEqual(worker(0).kinds, ["start", "tap", "tap", "untap"]);
  worker(0).kill();
  await clock.advance(25);
  assert.deepEqual(worker(1).told.slice(1), [{ kind: "tap", id: 8, filter: FILTER }]);
  assert.deepEqual(events.slice(0, 1), ["end of 1"]);
});

test("draining ends when doors are closed, then when the last worker is gone", async () => {
  const { pool, clock, workers, worker } = rig(2);
  pool.start();
  for (const one of workers) one.says({ kind: "listening" });
  const closed = settled(pool.drain(500, 60_000));
  const ended = settled(pool.ended());
  assert.deepEqual(worker(0).told.at(-1), { kind: "drain", acceptMs: 500, limitMs: 60_000 });
  for (const one of workers) one.says({ kind: "closed" });
  await clock.advance(0);
  assert.deepEqual([closed.yes, ended.yes, pool.healthy], [true, false, false]);
  for (const one of workers) one.listener.onExit("exit code 0");
  await clock.advance(5_000);
  assert.deepEqual([ended.yes, workers.length], [true, 2], "and none is started again");
});

test("who does not end within its time and some seconds is ended", async () => {
  const { pool, clock, worker } = rig();
  pool.start();
  worker(0).says({ kind: "listening" });
  void pool.drain(0, 10_000);
  const ended = settled(pool.ended());
  await clock.advance(14_900);
  assert.equal(worker(0).isKilled, false);
  await clock.advance(100);
  assert.deepEqual([worker(0).isKilled, ended.yes], [true, true]);
});
