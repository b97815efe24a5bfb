// `innermesh cleanup`: takes away what Innermesh left in this node's kernel.

import { openNetlinkKernel } from "../lib/nft/kernel.ts";
import { removeLiftLinks } from "../service-proxy/apply/lane-lift.ts";
import { removeLaneRoutes } from "../service-proxy/apply/lane-routes.ts";
import { removeOwnTables } from "../service-proxy/apply/own-tables.ts";

/**
 * Removes our tables, links and routes. Flows that live stay alive; new ones find no Services until
 * somebody else serves them.
 * @returns the exit code
 */
export async function cleanUp(output: { write(text: string): unknown }): Promise<number> {
  const kernel = await openNetlinkKernel({ thread: "here" });
  try {
    const removed = [...(await removeOwnTables(kernel))];
    removed.push(...removeLiftLinks(), ...removeLaneRoutes(["ip", "ip6"]));
    for (const what of removed) output.write(`removed ${what}\n`);
    if (removed.length === 0) output.write("nothing to remove\n");
    return 0;
  } finally {
    await kernel.close();
  }
}
