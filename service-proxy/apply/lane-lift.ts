// Keeps the SYN lift in place while there are lanes and pods on a bridge that br_netfilter watches:
// two links and two tables, made anew whenever links or entry points change.

import type { Clock } from "../../lib/clock/clock.ts";
import type { Logger } from "../../lib/log/logger.ts";
import { isBridgeWatched } from "../../lib/netlink/bridge-netfilter.ts";
import { ensureDetour, removeDetour } from "../../lib/netlink/detour.ts";
import { type Link, listLinks, watchLinks } from "../../lib/netlink/link.ts";
import { LIFT_LINKS } from "../plan/lane-marks.ts";
import { type LiftWorld, liftBridges, liftRemoval, liftTransactions } from "../plan/lift-plan.ts";
import type { NftApply } from "./nft-apply.ts";

export interface LaneLiftParts {
  readonly apply: Pick<NftApply, "commitAside">;
  readonly clock: Clock;
  readonly log: Logger;
  /** The lanes' entry points as they are now; both empty without lanes. See `liftEntries`. */
  readonly entries: () => LiftWorld["entries"];
}

export interface LaneLift {
  /** Entry points may have changed. */
  refresh(): void;
  /** Resolves when the signal has aborted; what stands stays. Never rejects. */
  readonly ended: Promise<void>;
}

const RETRY_MS = 1_000;

/** Follows links and entry points until `signal` aborts. */
export function startLaneLift(parts: LaneLiftParts, signal: AbortSignal): LaneLift {
  const { clock, log } = parts;
  let isDirty = false;
  let wake = (): void => {};
  const refresh = (): void => {
    isDirty = true;
    wake();
  };
  signal.addEventListener("abort", refresh);
  const watching = watchLinks({
    clock,
    signal,
    onChange: refresh,
    onError: (error) => log.warn("cannot watch links", { cause: String(error) }),
  });
  const run = async (): Promise<void> => {
    const lift = new Lift(parts);
    while (!signal.aborted) {
      if (!isDirty) await new Promise<void>((resolve) => (wake = resolve));
      isDirty = false;
      if (signal.aborted) break;
      try {
        await lift.bringTo(await listLinks());
      } catch (error) {
        log.warn("cannot lift connections off bridges", { cause: String(error) });
        isDirty = true;
        await clock.sleep(RETRY_MS, signal);
      }
    }
    await watching;
  };
  return { refresh, ended: run() };
}

/**
 * Removes the links that the lift makes; its tables go with our others.
 * @returns what was there, in words
 * @throws RouteError
 */
export function removeLiftLinks(): readonly string[] {
  return removeDetour(LIFT_LINKS);
}

class Lift {
  readonly #parts: LaneLiftParts;
  /** What stands, as text; "" is nothing, undefined not known: an earlier run may have left it. */
  #standing: string | undefined;

  constructor(parts: LaneLiftParts) {
    this.#parts = parts;
  }

  async bringTo(links: readonly Link[]): Promise<void> {
    const { apply, log } = this.#parts;
    const bridges = liftBridges(links);
    const entries = this.#parts.entries();
    const isWanted =
      bridges.length > 0 && entries.ip.length + entries.ip6.length > 0 && (await isWatched());
    if (!isWanted) {
      if (this.#standing === "") return;
      await apply.commitAside(liftRemoval());
      removeLiftLinks();
      this.#standing = "";
      return;
    }
    const ends = await ensureDetour(LIFT_LINKS, links);
    const world: LiftWorld = { ...ends, bridges, entries };
    const wanted = JSON.stringify(world);
    if (wanted === this.#standing) return;
    this.#standing = undefined;
    await apply.commitAside(liftTransactions(world));
    this.#standing = wanted;
    log.info("connections of pods on bridges are lifted", {
      bridges: bridges.map(({ name }) => name),
    });
  }
}

/** br_netfilter shows the frames of bridges to the IP hooks. */
async function isWatched(): Promise<boolean> {
  return (await isBridgeWatched("ip")) || isBridgeWatched("ip6");
}
