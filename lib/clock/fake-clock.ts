// A clock that stands still until a test turns it.

import type { Clock } from "./clock.ts";

export interface FakeClock extends Clock {
  /** Moves both clocks on, wakes the sleepers whose time has come, and lets them run. */
  advance(durationMs: number): Promise<void>;
}

/** @param startWallMs the wall clock's first reading */
export function makeFakeClock(startWallMs = 0): FakeClock {
  let nowMs = 0;
  const sleepers = new Set<{ readonly atMs: number; readonly wake: () => void }>();
  return {
    monotonicMs: () => nowMs,
    wallMs: () => startWallMs + nowMs,
    sleep(durationMs, signal) {
      return new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const wake = (): void => {
          sleepers.delete(sleeper);
          resolve();
        };
        const sleeper = { atMs: nowMs + durationMs, wake };
        sleepers.add(sleeper);
        signal?.addEventListener("abort", wake, { once: true });
      });
    },
    async advance(durationMs) {
      const endMs = nowMs + durationMs;
      for (;;) {
        const due = [...sleepers].filter((s) => s.atMs <= endMs).sort((a, b) => a.atMs - b.atMs);
        const next = due[0];
        if (next === undefined) break;
        nowMs = Math.max(nowMs, next.atMs);
        next.wake();
        await new Promise((resolve) => setImmediate(resolve));
      }
      nowMs = endMs;
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}
