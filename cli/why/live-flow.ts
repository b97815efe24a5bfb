// What this machine's kernel knows of a connection at the moment.

import { systemClock } from "../../lib/clock/system-clock.ts";
import { familyOf } from "../../lib/ip/address.ts";
import { openConntrackTable } from "../../lib/netlink/conntrack.ts";
import {
  type ConntrackEntry,
  protocolSctp,
  protocolTcp,
  protocolUdp,
} from "../../lib/netlink/conntrack-entry.ts";
import { ConntrackError } from "../../lib/netlink/conntrack-table.ts";
import type { AskedConnection } from "./connection-words.ts";

const NUMBERS = { TCP: protocolTcp, UDP: protocolUdp, SCTP: protocolSctp } as const;

/** Undefined where there is none, and without the privilege to ask. */
export async function findLiveFlow(
  source: string,
  asked: Omit<AskedConnection, "from">,
): Promise<ConntrackEntry | undefined> {
  try {
    const table = openConntrackTable(systemClock);
    try {
      const selection = { protocol: NUMBERS[asked.protocol] };
      for await (const flows of table.list(familyOf(source), selection)) {
        const found = flows.find((flow) => isAsked(flow, source, asked));
        if (found !== undefined) return found;
      }
    } finally {
      table.close();
    }
  } catch (error) {
    if (!(error instanceof ConntrackError)) throw error;
  }
  return undefined;
}

function isAsked(
  { original }: ConntrackEntry,
  source: string,
  { sourcePort, destination, port }: Omit<AskedConnection, "from">,
): boolean {
  return (
    original.source === source &&
    original.destination === destination &&
    original.destinationPort === port &&
    (sourcePort === 0 || original.sourcePort === sourcePort)
  );
}
