// Asks the agent who has which identity, and the kernel whether it holds them.

import { isBridgeWatched } from "../../lib/netlink/bridge-netfilter.ts";
import type { Family, NftKernel } from "../../lib/nft/objects.ts";
import { POLICY_TABLE } from "../../netpol-identity/plan/policy-table-parts.ts";
import type { NodeSettings } from "../../service-proxy/config/node-settings.ts";
import { askIdentities } from "../identity/node-identities.ts";
import { type IdentityFacts, unknown } from "./facts.ts";
import type { KernelDoor } from "./gather-kernel.ts";
import { factOf } from "./kernel-files.ts";

export async function gatherIdentity(
  { identity, proxy: { adminSocket } }: NodeSettings,
  door: KernelDoor,
  families: readonly Family[],
): Promise<IdentityFacts> {
  if (identity.mode === "none") {
    const off = unknown("identities are off");
    return { report: off, missingTables: off, watchedBridges: off };
  }
  return {
    report:
      adminSocket === undefined
        ? unknown("--admin-socket is empty")
        : await factOf(() => askIdentities(adminSocket, { peers: false })),
    missingTables:
      door.kind === "unknown" ? door : await factOf(() => missingTables(door.value, families)),
    watchedBridges: await factOf(async () => ({
      ip: await isBridgeWatched("ip"),
      ip6: await isBridgeWatched("ip6"),
    })),
  };
}

export async function missingTables(
  kernel: NftKernel,
  families: readonly Family[],
): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const place of [...families, "netdev", "bridge"] as const) {
    if ((await kernel.digest(place, POLICY_TABLE)) === undefined) missing.push(place);
  }
  return missing;
}
