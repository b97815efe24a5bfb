// Tells the kernel every second that workers live, and asks it now and then what it dropped.

import type { Clock } from "../../lib/clock/clock.ts";
import type { Logger } from "../../lib/log/logger.ts";
import type { PolicyApply, PolicyCounts } from "./policy-apply.ts";

export interface HeartbeatParts {
  readonly apply: Pick<PolicyApply, "tell" | "counts">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether workers take connections. */
  readonly isLiving: () => boolean;
  /** Whether anybody is enrolled, or isolated by a policy: else few packets are dropped. */
  readonly isWatched: () => boolean;
  readonly onCounts: (counts: PolicyCounts) => void;
}

const HEARTBEAT_MS = 1_000;
/** Dropped packets are read this often. */
const BEATS_TO_COUNT = { watched: 5, otherwise: 60 } as const;

/**
 * Works until `signal` aborts; without it calls to permissive pods go past workers, which may be
 * dead. Never rejects.
 */
export async function keepBeating(parts: HeartbeatParts, signal: AbortSignal): Promise<void> {
  const { apply, clock, log, isLiving, isWatched, onCounts } = parts;
  let said: "living" | "dead" = "dead";
  let uncounted = Infinity;
  while (!signal.aborted) {
    const word = isLiving() ? "living" : "dead";
    if (word === "living" || said !== word) {
      await apply.tell(word).then(
        () => (said = word),
        (error: unknown) => log.debug("cannot tell the kernel of workers", { error }),
      );
    }
    if (++uncounted >= BEATS_TO_COUNT[isWatched() ? "watched" : "otherwise"]) {
      uncounted = 0;
      await apply.counts().then(onCounts, () => {});
    }
    await clock.sleep(HEARTBEAT_MS, signal);
  }
}
