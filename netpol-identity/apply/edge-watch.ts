// Fills the book of edges: looks at the kernel's flows every half minute, at the reader's pace.

import type { Clock } from "../../lib/clock/clock.ts";
import { protocolTcp, protocolUdp } from "../../lib/netlink/conntrack-entry.ts";
import type { ConntrackTable } from "../../lib/netlink/conntrack-table.ts";
import type { EdgeBook, EdgeWorld } from "./edge-book.ts";

export interface EdgeWatchParts {
  readonly book: EdgeBook;
  /** Stays open. */
  readonly table: ConntrackTable;
  readonly clock: Clock;
  /** What holds now. */
  readonly world: () => EdgeWorld;
  /** The next look comes all the same. */
  readonly onError: (error: unknown) => void;
}

/** TCP flows are remembered for two minutes after their end, answered UDP flows for as long. */
const LOOK_MS = 30_000;
const FAMILIES = ["ip", "ip6"] as const;
const PROTOCOLS = [protocolTcp, protocolUdp] as const;

/** Looks until `signal` aborts. Never rejects. */
export async function watchEdges(parts: EdgeWatchParts, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await look(parts, signal).catch((error: unknown) => parts.onError(error));
    await parts.clock.sleep(LOOK_MS, signal);
  }
}

async function look(
  { book, table, clock, world }: EdgeWatchParts,
  signal: AbortSignal,
): Promise<void> {
  const now = world();
  for (const family of FAMILIES) {
    for (const protocol of PROTOCOLS) {
      for await (const flows of table.list(family, { protocol })) {
        if (signal.aborted) return;
        book.add(flows, now, clock.wallMs());
      }
    }
  }
  book.endLook();
}
