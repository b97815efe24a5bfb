// Gathers all facts of one check run: the only place that knows the order of the questions.

import { hostname } from "node:os";
import { openNetlinkKernel } from "../../lib/nft/kernel.ts";
import { type NodeSettings, nodeNameOf } from "../../service-proxy/config/node-settings.ts";
import type { Facts } from "./facts.ts";
import { gatherAgent, hostFamilies } from "./gather-agent.ts";
import { gatherCluster } from "./gather-cluster.ts";
import { gatherHost } from "./gather-host.ts";
import { gatherIdentity } from "./gather-identity.ts";
import { gatherKernel, type KernelDoor } from "./gather-kernel.ts";
import { gatherLane } from "./gather-lane.ts";
import { gatherPolicy } from "./gather-policy.ts";
import { gatherRivals } from "./gather-rivals.ts";
import { factOf } from "./kernel-files.ts";

/**
 * Asks the kernel, the node, the source and the agent. Changes nothing that outlives it. Never
 * throws for what it cannot reach: that becomes an unknown fact.
 * @param flags what `innermesh node` is, or would be, given
 * @param settings what the flags mean
 * @param pre before an install
 */
export async function gather(
  flags: readonly string[],
  settings: NodeSettings,
  pre: boolean,
): Promise<Facts> {
  const door: KernelDoor = await factOf(() => openNetlinkKernel({ thread: "here" }));
  try {
    const cluster = await gatherCluster(flags, settings);
    return {
      pre,
      settings,
      nodeName: nodeNameOf(settings, hostname()),
      kernel: await gatherKernel(door, settings, hostFamilies()),
      host: await gatherHost(settings),
      lane: await gatherLane(settings, hostFamilies()),
      rivals: await gatherRivals(door),
      cluster: cluster.facts,
      agent: await gatherAgent(flags, settings, door, cluster),
      identity: await gatherIdentity(settings, door, hostFamilies()),
      policy: await gatherPolicy(settings, door, { families: hostFamilies(), cluster }),
    };
  } finally {
    if (door.kind === "known") await door.value.close();
  }
}
