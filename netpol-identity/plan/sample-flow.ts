// Tracked flows for tests.

import { familyOf } from "../../lib/ip/address.ts";
import { type ConntrackEntry, protocolTcp } from "../../lib/netlink/conntrack-entry.ts";

export interface SampleFlowOptions {
  /** @default TCP's */
  readonly protocol?: number;
  /** The server's. @default 80 */
  readonly port?: number;
  /** What the client sent to. @default the server */
  readonly asked?: string;
}

/** A flow between two addresses, translated if the client asked for another. */
export function sampleFlow(
  client: string,
  server: string,
  { protocol = protocolTcp, port = 80, asked = server }: SampleFlowOptions = {},
): ConntrackEntry {
  return {
    family: familyOf(client),
    protocol,
    original: { source: client, destination: asked, sourcePort: 40_000, destinationPort: port },
    reply: { source: server, destination: client, sourcePort: port, destinationPort: 40_000 },
    zone: 0,
    replyZone: 0,
    status: 0,
    id: 0,
  };
}
