// Tells the kernel every second that the proxy's workers live. When the word stops, for whatever
// reason, new connections stay in the kernel lane within three seconds: a frozen proxy holds
// nobody up.

import type { Clock } from "../../lib/clock/clock.ts";
import type { Logger } from "../../lib/log/logger.ts";
import type { Family } from "../../lib/nft/objects.ts";
import { ensureLaneRoutes } from "./lane-routes.ts";
import type { NftApply } from "./nft-apply.ts";

export interface LaneHeartbeatParts {
  readonly apply: Pick<NftApply, "tellLanes">;
  readonly families: readonly Family[];
  readonly clock: Clock;
  readonly log: Logger;
  /** Somebody takes connections on the lanes' ports. Asked every second. */
  readonly healthy: () => boolean;
  /** Makes the routes that are missing, and says which. @default ensureLaneRoutes */
  readonly ensureRoutes?: (families: readonly Family[]) => readonly string[];
}

export interface LaneHeartbeat {
  /** Asks `healthy` now: new connections need not wait for the next beat. */
  beat(): void;
  /** Resolves when the signal has aborted and the last word is out. Never rejects. */
  readonly ended: Promise<void>;
}

const PERIOD_MS = 1_000;

/** Why a heart stops whose word others renew: a successor's workers take connections already. */
export const SUCCEEDED = "succeeded";

/**
 * Beats until `signal` aborts, then says that nobody lives: only after that may listeners close, or
 * host processes would be refused. Not so with the reason `SUCCEEDED`: whoever took over beats on,
 * and what belongs into a tunnel would go past it in between.
 */
export function startLaneHeartbeat(parts: LaneHeartbeatParts, signal: AbortSignal): LaneHeartbeat {
  let wake = (): void => {};
  let isRung = false;
  const beat = (): void => {
    isRung = true;
    wake();
  };
  const run = async (): Promise<void> => {
    const heart = new Heart(parts);
    while (!signal.aborted) {
      isRung = false;
      await heart.beat(parts.healthy());
      const nap = new AbortController();
      wake = () => nap.abort();
      if (isRung) continue;
      await parts.clock.sleep(PERIOD_MS, AbortSignal.any([signal, nap.signal]));
    }
    if (signal.reason !== SUCCEEDED) await heart.beat(false);
  };
  return { beat, ended: run() };
}

class Heart {
  readonly #parts: LaneHeartbeatParts;
  /** What the kernel was told last. */
  #word: "living" | "dead" = "dead";
  #lastFailure = "";

  constructor(parts: LaneHeartbeatParts) {
    this.#parts = parts;
  }

  async beat(isHealthy: boolean): Promise<void> {
    const { apply, families, log, ensureRoutes = ensureLaneRoutes } = this.#parts;
    const word = isHealthy ? "living" : "dead";
    if (word === "dead" && this.#word === "dead") return;
    try {
      if (word === "living") {
        const made = ensureRoutes(families);
        if (made.length > 0) log.info("made routes of the userspace lanes", { made });
      }
      await apply.tellLanes(word, families);
      this.#word = word;
      this.#lastFailure = "";
    } catch (error) {
      // Once for each reason: it comes back every second.
      const cause = String(error);
      if (cause !== this.#lastFailure) log.warn("cannot tell the lanes who lives", { word, cause });
      this.#lastFailure = cause;
    }
  }
}
