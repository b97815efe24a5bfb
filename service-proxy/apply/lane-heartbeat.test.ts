import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { makeLogger } from "../../lib/log/logger.ts";
import { startLaneHeartbeat } from "./lane-heartbeat.ts";

interface Rig {
  /** What the kernel was told, in order. */
  readonly words: string[];
  /** Lines of the log. */
  readonly lines: string[];
  readonly clock: ReturnType<typeof makeFakeClock>;
  healthy: boolean;
  /** Thrown instead of telling. */
  refusal: Error | undefined;
  /** Routes that are missing. */
  missing: string[];
  beat(): void;
  stop(): Promise<void>;
}

function rig(): Rig {
  const stop = new AbortController();
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const self: Rig = {
    words: [],
    lines,
    clock: makeFakeClock(),
    healthy: true,
    refusal: undefined,
    missing: [],
    beat: () => heart.beat(),
    stop: () => {
      stop.abort();
      return heart.ended;
    },
  };
  const heart = startLaneHeartbeat(
    {
      apply: {
        async tellLanes(word, families) {
          if (self.refusal !== undefined) throw self.refusal;
          self.words.push(`${word} ${families.join(" ")}`);
        },
      },
      families: ["ip", "ip6"],
      clock: self.clock,
      log: makeLogger({ level: "info", format: "json", destination }),
      healthy: () => self.healthy,
      ensureRoutes: () => self.missing.splice(0),
    },
    stop.signal,
  );
  return self;
}

test("while a worker lives the kernel hears so every second, of both families at once", async () => {
  const r = rig();
  await r.clock.advance(0);
  await r.clock.advance(2_500);
  assert.deepEqual(r.words, Array(3).fill("living ip ip6"));
  await r.stop();
  await r.clock.advance(5_000);
  assert.deepEqual(r.words.slice(3), ["dead ip ip6"], "before the listeners close");
});

test("a death is told once, and a life that returns at the next beat", async () => {
  const r = rig();
  await r.clock.advance(0);
  r.healthy = false;
  await r.clock.advance(3_000);
  r.healthy = true;
  await r.clock.advance(1_000);
  assert.deepEqual(r.words, ["living ip ip6", "dead ip ip6", "living ip ip6"]);
  await r.stop();
});

test("who calls for a beat need not wait for the second to pass", async () => {
  const r = rig();
  await r.clock.advance(100);
  r.healthy = false;
  r.beat();
  await r.clock.advance(0);
  assert.deepEqual(r.words, ["living ip ip6", "dead ip ip6"]);
  await r.stop();
});

test("a refusal is logged once, however often it comes back, and the heart beats on", async () => {
  const r = rig();
  await r.clock.advance(0);
  r.refusal = new Error("ENOENT");
  await r.clock.advance(3_000);
  assert.equal(r.lines.length, 1);
  r.refusal = undefined;
  await r.clock.advance(1_000);
  assert.equal(r.words.length, 2);
  await r.stop();
});

test("routes that were missing are told of", async () => {
  const r = rig();
  await r.clock.advance(0);
  r.missing.push("rule ip preference 98");
  await r.clock.advance(1_000);
  assert.equal(r.lines.length, 1);
  assert.match(r.lines[0] ?? "", /rule ip preference 98/);
  await r.stop();
});
