// Takes everything off the kernel that holds identities: what `innermesh cleanup` does, and an
// agent whose node has them no more.

import { removeDetour } from "../../lib/netlink/detour.ts";
import type { NftKernel } from "../../lib/nft/objects.ts";
import { DETOUR_LINKS } from "../plan/entry-lift.ts";
import { policyRemoval } from "../plan/policy-table.ts";
import { POLICY_TABLE } from "../plan/policy-table-parts.ts";
import { CANARY_LINKS } from "./canary-attacker.ts";

/**
 * Deletes our tables in one commit, and our links. Strict pods are open afterwards.
 * @returns one line for each thing that went; empty when nothing was there
 * @throws NftError, RouteError
 */
export async function removePolicy(
  kernel: Pick<NftKernel, "commit" | "readRules">,
): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const place of ["ip", "ip6", "netdev", "bridge"] as const) {
    const chains = await kernel.readRules(place, POLICY_TABLE);
    if (chains.size > 0) removed.push(`nft table ${place} ${POLICY_TABLE}`);
  }
  if (removed.length > 0) await kernel.commit(policyRemoval());
  return [...removed, ...removeDetour(DETOUR_LINKS), ...removeDetour(CANARY_LINKS)];
}
