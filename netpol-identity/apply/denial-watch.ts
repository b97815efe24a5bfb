// Listens to what the kernel tells of denials. One process has a group: while another agent of this
// node ends, its successor waits.

import type { Clock } from "../../lib/clock/clock.ts";
import type { Logger } from "../../lib/log/logger.ts";
import { openPacketLog } from "../../lib/netlink/packet-log.ts";
import type { NftKernel } from "../../lib/nft/objects.ts";
import type { DenialLog } from "./denial-log.ts";
import { LOG_GROUP, logRefusal } from "./log-probe.ts";

export interface DenialWatchParts {
  readonly denials: DenialLog;
  readonly kernel: Pick<NftKernel, "commit">;
  readonly clock: Clock;
  readonly log: Logger;
}

const RETRY_MS = 5_000;
/** Somebody else has the group. */
const TAKEN = "EPERM";

/**
 * Listens until `signal` aborts.
 * @returns the group that rules may log to; undefined where the kernel knows of no such log, or
 * its rules cannot write to it
 */
export async function watchDenials(
  parts: DenialWatchParts,
  signal: AbortSignal,
): Promise<number | undefined> {
  const refused = await logRefusal(parts.kernel);
  if (refused !== undefined) {
    parts.log.warn("denials are not told: the kernel takes no rules that log", { code: refused });
    return undefined;
  }
  const first = listen(parts, signal);
  const code = (await first.joined) ? undefined : await first.ended;
  if (code !== undefined && code !== TAKEN) {
    parts.log.warn("denials are not told: the kernel has no log of packets", { code });
    return undefined;
  }
  void keepListening(parts, first.ended, signal);
  return LOG_GROUP;
}

async function keepListening(
  parts: DenialWatchParts,
  ended: Promise<string>,
  signal: AbortSignal,
): Promise<void> {
  for (let end = ended; ; end = listen(parts, signal).ended) {
    const code = await end;
    if (signal.aborted) return;
    parts.log.debug("denials are not told for now", { code });
    await parts.clock.sleep(RETRY_MS, signal);
    if (signal.aborted) return;
  }
}

function listen(
  { denials }: DenialWatchParts,
  signal: AbortSignal,
): { readonly joined: Promise<boolean>; readonly ended: Promise<string> } {
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  const packets = openPacketLog({
    group: LOG_GROUP,
    onPacket: (packet) => denials.add(packet),
    onEnd: resolve,
  });
  const close = (): void => {
    packets.close();
    resolve("closed");
  };
  signal.addEventListener("abort", close, { once: true });
  void ended.then(() => signal.removeEventListener("abort", close));
  return { joined: packets.joined, ended };
}
