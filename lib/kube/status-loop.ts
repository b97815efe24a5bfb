// Looks at statuses whenever something may have changed, for as long as we lead.

import type { Clock } from "../clock/clock.ts";
import type { KubeClient } from "./client.ts";
import type { Leadership } from "./lease.ts";
import { type StatusEvent, StatusKeeper, type StatusSubject } from "./status-keeper.ts";

export interface StatusLoopOptions {
  readonly client: Pick<KubeClient, "getJson" | "patch">;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Until it is true nothing is looked at: much would look as if it were not there. */
  readonly isReady: () => boolean;
  /** Each calls its listener when something may be otherwise than before. */
  readonly sources: readonly StatusSource[];
  /** Everything with a status of ours, as it is known now. */
  readonly subjects: () => readonly StatusSubject[];
  readonly onEvent: (event: StatusEvent) => void;
}

export interface StatusSource {
  /** @returns how to stop listening */
  onChange(listener: () => void): () => void;
}

/** Between looks: a burst of changes is one look. */
export const LOOK_INTERVAL_MS = 200;
/** Everything is looked at again this often, also when no event asked for it. */
export const RESYNC_MS = 600_000;

/** Keeps statuses until the leadership ends, and resolves when no write is under way any more. */
export async function runStatusLoop(
  leadership: Leadership,
  options: StatusLoopOptions,
): Promise<void> {
  const { clock, isReady, sources } = options;
  const { signal } = leadership;
  const keeper = new StatusKeeper(leadership, options);
  let news = Promise.withResolvers<void>();
  const wake = (): void => news.resolve();
  const stops = sources.map((source) => source.onChange(wake));
  signal.addEventListener("abort", wake, { once: true });
  let resyncAtMs = clock.monotonicMs() + RESYNC_MS;
  try {
    while (!signal.aborted) {
      news = Promise.withResolvers<void>();
      const isResync = clock.monotonicMs() >= resyncAtMs;
      if (isResync) resyncAtMs = clock.monotonicMs() + RESYNC_MS;
      if (isReady() && isResync) keeper.lookAgain();
      else if (isReady()) keeper.look();
      await clock.sleep(LOOK_INTERVAL_MS, signal);
      const rested = new AbortController();
      const resync = clock.sleep(resyncAtMs - clock.monotonicMs(), rested.signal);
      await Promise.race([news.promise, resync]);
      rested.abort();
    }
  } finally {
    for (const stop of stops) stop();
    await keeper.idle();
  }
}
