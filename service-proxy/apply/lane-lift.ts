// Keeps the SYN lift in place while there are lanes and pods on a bridge that br_netfilter watches:
// two links and two tables, made anew whenever links or entry points change.

import { readFile, writeFile } from "node:fs/promises";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Logger } from "../../lib/log/logger.ts";
import { type Link, listLinks, watchLinks } from "../../lib/netlink/link.ts";
import { RouteSocket } from "../../lib/netlink/route-socket.ts";
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
/** An address of a range for such uses (RFC 7600): without one the link takes no IPv4. */
const LINK_ADDRESS = "192.0.0.8";
const BRIDGE_NETFILTER = ["iptables", "ip6tables"].map(
  (program) => `/proc/sys/net/bridge/bridge-nf-call-${program}`,
);
/** Values of rp_filter. */
const STRICT = 1;
const LOOSE = "2";

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
  return withSocket((socket) => (socket.deleteLink(LIFT_LINKS.out) ? ["links im0, im1"] : []));
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
    const ends = await ensureLinks(links);
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
  for (const file of BRIDGE_NETFILTER) {
    const text = await readFile(file, "utf8").catch(() => "0");
    if (text.trim() !== "0") return true;
  }
  return false;
}

/** Finds our two links, or makes them. */
async function ensureLinks(links: readonly Link[]): Promise<Pick<LiftWorld, "in" | "out">> {
  const found = ends(links) ?? (await makeLinks());
  withSocket((socket) => socket.addLinkAddress(found.in.index, LINK_ADDRESS));
  await loosenReversePath();
  return found;
}

/**
 * A lifted SYN comes from a pod whose route leads to its bridge: a strict filter would drop it.
 * Where /proc/sys is read-only, a filter that is not strict will do.
 */
async function loosenReversePath(): Promise<void> {
  try {
    await writeFile(reversePath(LIFT_LINKS.in), LOOSE);
  } catch (error) {
    const files = ["all", LIFT_LINKS.in].map(reversePath);
    const values = await Promise.all(files.map((file) => readFile(file, "utf8")));
    // The kernel takes the larger one.
    if (Math.max(...values.map(Number)) === STRICT) throw error;
  }
}

function reversePath(link: string): string {
  return `/proc/sys/net/ipv4/conf/${link}/rp_filter`;
}

async function makeLinks(): Promise<Pick<LiftWorld, "in" | "out">> {
  withSocket((socket) => {
    socket.deleteLink(LIFT_LINKS.out);
    socket.addVethPair(LIFT_LINKS.out, LIFT_LINKS.in);
  });
  const made = ends(await listLinks());
  if (made === undefined) throw new Error(`Cannot find link ${LIFT_LINKS.in}: it is gone again`);
  return made;
}

function ends(links: readonly Link[]): Pick<LiftWorld, "in" | "out"> | undefined {
  const find = (wanted: string): Link | undefined => links.find(({ name }) => name === wanted);
  const [out, into] = [find(LIFT_LINKS.out), find(LIFT_LINKS.in)];
  return out === undefined || into === undefined ? undefined : { out, in: into };
}

function withSocket<T>(body: (socket: RouteSocket) => T): T {
  const socket = new RouteSocket();
  try {
    return body(socket);
  } finally {
    socket.close();
  }
}
