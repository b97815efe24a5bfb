// Whether the machine that a command runs on is the node that it is asked about.

import { readHostAddresses } from "../lib/netlink/route.ts";
import type { Snapshot } from "./snapshot.ts";

/** By addresses; false where they cannot be read. */
export async function isThisMachine({
  store,
  nodeName,
}: Pick<Snapshot, "store" | "nodeName">): Promise<boolean> {
  const own = store.nodes.get(nodeName)?.addresses ?? [];
  const host = new Set(await readHostAddresses().catch(() => []));
  return own.some(({ address }) => host.has(address));
}
