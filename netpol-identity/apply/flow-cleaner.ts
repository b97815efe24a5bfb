// Ends flows that policies deny by now, off the sync path. The kernel judges a flow once, as it
// begins; after a change one loop walks conntrack and judges those that live. What it removes stays
// dead: the middle of a TCP flow that conntrack does not know is dropped.

import type { Clock } from "../../lib/clock/clock.ts";
import {
  type ConntrackEntry,
  protocolSctp,
  protocolTcp,
  protocolUdp,
} from "../../lib/netlink/conntrack-entry.ts";
import type { ConntrackTable } from "../../lib/netlink/conntrack-table.ts";
import { type FlowWorld, isDenied } from "../plan/flow-verdict.ts";
import { BOUND_MARK, DELIVERED_MARK, SOCKET_MARK } from "../plan/policy-table-parts.ts";

/** One walk over all flows that are not a worker's. */
export interface FlowCleanup {
  readonly listed: number;
  readonly removed: number;
  readonly durationMs: number;
}

export interface FlowCleanerParts {
  /** Stays open: its owner closes it after the cleaner. */
  readonly table: ConntrackTable;
  readonly clock: Clock;
  /** What holds now. */
  readonly world: () => FlowWorld;
  readonly onDone: (cleanup: FlowCleanup) => void;
  /** The walk is repeated after a second. */
  readonly onError: (error: unknown) => void;
}

export interface FlowCleaner {
  /** What holds has changed, and new flows are judged by it: asks for a walk. */
  request(): void;
  /** Resolves when the signal has aborted and nothing runs any more. Never rejects. */
  readonly ended: Promise<void>;
}

/** From the end of one walk to the next: flows end at most two seconds after a change. */
const PAUSE_MS = 500;
const RETRY_MS = 1_000;
const FAMILIES = ["ip", "ip6"] as const;
const PROTOCOLS = [protocolTcp, protocolUdp, protocolSctp] as const;
/** Workers judge their own. */
const WORKERS = SOCKET_MARK | BOUND_MARK | DELIVERED_MARK;

/** Walks when asked, once at a time, until `signal` aborts. */
export function startFlowCleaner(parts: FlowCleanerParts, signal: AbortSignal): FlowCleaner {
  const { clock, onDone, onError } = parts;
  let isDirty = false;
  let wake = (): void => {};
  const request = (): void => {
    isDirty = true;
    wake();
  };
  signal.addEventListener("abort", () => wake());
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      if (!isDirty) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      isDirty = false;
      try {
        onDone(await walk(parts, signal));
        await clock.sleep(PAUSE_MS, signal);
      } catch (error) {
        isDirty = true;
        onError(error);
        await clock.sleep(RETRY_MS, signal);
      }
    }
  };
  return { request, ended: run() };
}

async function walk(
  { table, clock, world }: FlowCleanerParts,
  signal: AbortSignal,
): Promise<FlowCleanup> {
  const startMs = clock.monotonicMs();
  let listed = 0;
  let removed = 0;
  for (const family of FAMILIES) {
    for (const protocol of PROTOCOLS) {
      for await (const flows of table.list(family, { protocol, unmarked: WORKERS })) {
        if (signal.aborted) break;
        listed += flows.length;
        removed += await clean(table, flows, world());
      }
    }
  }
  return { listed, removed, durationMs: clock.monotonicMs() - startMs };
}

async function clean(
  table: ConntrackTable,
  flows: readonly ConntrackEntry[],
  world: FlowWorld,
): Promise<number> {
  let removed = 0;
  for (const flow of flows) {
    if (isDenied(flow, world) && (await table.remove(flow)) === "removed") removed++;
  }
  return removed;
}
