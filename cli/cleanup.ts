// `innermesh cleanup`: takes away what Innermesh left in this node's kernel.

import { removeDetour } from "../lib/netlink/detour.ts";
import { openNetlinkKernel } from "../lib/nft/kernel.ts";
import type { NftKernel } from "../lib/nft/objects.ts";
import { CANARY_LINKS } from "../netpol-identity/apply/canary-attacker.ts";
import { DETOUR_LINKS } from "../netpol-identity/plan/entry-lift.ts";
import { POLICY_TABLE } from "../netpol-identity/plan/policy-table-parts.ts";
import { removeLiftLinks } from "../service-proxy/apply/lane-lift.ts";
import { removeLaneRoutes } from "../service-proxy/apply/lane-routes.ts";
import { deleteTable, removeOwnTables } from "../service-proxy/apply/own-tables.ts";

/**
 * Removes our tables, links and routes. Flows that live stay alive; new ones find no Services until
 * somebody else serves them, and strict pods take plaintext.
 * @returns the exit code
 */
export async function cleanUp(output: { write(text: string): unknown }): Promise<number> {
  const kernel = await openNetlinkKernel({ thread: "here" });
  try {
    const removed = [...(await removeOwnTables(kernel)), ...(await removePolicyTables(kernel))];
    removed.push(...removeLiftLinks(), ...removeDetour(DETOUR_LINKS));
    removed.push(...removeDetour(CANARY_LINKS));
    removed.push(...removeLaneRoutes(["ip", "ip6"]));
    for (const what of removed) output.write(`removed ${what}\n`);
    if (removed.length === 0) output.write("nothing to remove\n");
    return 0;
  } finally {
    await kernel.close();
  }
}

async function removePolicyTables(kernel: NftKernel): Promise<readonly string[]> {
  const removed: string[] = [];
  const places = [
    { family: "ip" },
    { family: "ip6" },
    { family: "ip", layer: "netdev" },
    { family: "ip", layer: "bridge" },
  ] as const;
  for (const place of places) {
    const layer = "layer" in place ? place.layer : undefined;
    if (!(await deleteTable(kernel, place.family, POLICY_TABLE, layer))) continue;
    removed.push(`nft table ${layer ?? place.family} ${POLICY_TABLE}`);
  }
  return removed;
}
