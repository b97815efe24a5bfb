// The real clock. Timers do not keep the process alive by themselves once their signal aborts.

import type { Clock } from "./clock.ts";

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  sleep(durationMs, signal) {
    return new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const finish = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", finish);
        resolve();
      };
      const timer = setTimeout(finish, Math.min(durationMs, 2 ** 31 - 1));
      signal?.addEventListener("abort", finish, { once: true });
    });
  },
};
