import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { keepBeating } from "./policy-heartbeat.ts";

async function beaten(
  { isLiving, isWatched }: { readonly isLiving: boolean; readonly isWatched: boolean },
  seconds: number,
) {
  const clock = makeFakeClock();
  const stop = new AbortController();
  const words: string[] = [];
  let counts = 0;
  const beating = keepBeating(
    {
      apply: {
        tell: async (word) => void words.push(word),
        counts: async () => {
          counts += 1;
          return { spoofed: 0, closed: 0 };
        },
      },
      clock,
      log: { debug() {}, info() {}, warn() {}, error() {} },
      isLiving: () => isLiving,
      isWatched: () => isWatched,
      onCounts: () => {},
    },
    stop.signal,
  );
  await clock.advance(0);
  await clock.advance(seconds * 1_000);
  stop.abort();
  await beating;
  return { words, counts };
}

test("that workers live is said every second, and that none does not at all at first", async () => {
  assert.equal((await beaten({ isLiving: true, isWatched: true }, 9)).words.length, 10);
  assert.deepEqual((await beaten({ isLiving: false, isWatched: true }, 9)).words, []);
});

test("drops are read every five seconds, once a minute where nobody is enrolled", async () => {
  assert.equal((await beaten({ isLiving: true, isWatched: true }, 59)).counts, 12);
  assert.equal((await beaten({ isLiving: true, isWatched: false }, 59)).counts, 1);
  assert.equal((await beaten({ isLiving: true, isWatched: false }, 60)).counts, 2);
});
