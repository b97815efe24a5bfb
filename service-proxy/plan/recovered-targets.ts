// What an earlier run served over UDP, as its table in the kernel tells: flows of Services that
// went while no agent ran are found by it.

import type { TableContents } from "../../lib/nft/objects.ts";
import { socketKey, type UdpTargets } from "../model/udp-targets.ts";

const NO_ENDPOINTS: ReadonlySet<string> = new Set();

/** Entry points without their endpoints: those of today decide, where there still are any. */
export function recoveredUdpTargets(tables: Iterable<TableContents>): UdpTargets {
  const addresses = new Map<string, ReadonlySet<string>>();
  const nodePorts = new Map<number, ReadonlySet<string>>();
  const nodePortAddresses = new Set<string>();
  for (const { sets } of tables) {
    for (const key of sets.get("vips")?.keys() ?? []) {
      const [address = "", protocol, port] = key.split(" . ");
      if (protocol === "udp") addresses.set(socketKey(address, Number(port)), NO_ENDPOINTS);
    }
    for (const key of sets.get("nodeports")?.keys() ?? []) {
      const [protocol, port] = key.split(" . ");
      if (protocol === "udp") nodePorts.set(Number(port), NO_ENDPOINTS);
    }
    for (const address of sets.get("nodeport-ips")?.keys() ?? []) nodePortAddresses.add(address);
  }
  return { addresses, nodePorts, nodePortAddresses };
}
