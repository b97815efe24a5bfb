// Whether somebody listens for changes of rulesets, as `nft monitor` does. The kernel then writes a
// message about every element of every commit, and asks only whether there is a listener in any
// network namespace of the machine: one listener, anywhere, makes all commits two to four times
// as slow (6.18, 2026-11). What is measured meanwhile is not what it seems.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

const NETLINK_NETFILTER = "12";
/** Of the group NFNLGRP_NFTABLES, 7. */
const GROUP_BIT = 1 << 6;
const POLL_MS = 500;
const PATIENCE_MS = 20_000;

/** Waits a while until nobody listens. @returns whether somebody still does */
export async function awaitNoListeners(): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += POLL_MS) {
    if (!someoneListens()) return false;
    await delay(POLL_MS);
  }
  return true;
}

/** Looks into every network namespace that a process lives in. */
export function someoneListens(): boolean {
  const seen = new Set<string>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const namespace = readlinkSync(`/proc/${pid}/ns/net`);
      if (seen.has(namespace)) continue;
      seen.add(namespace);
      if (hasListener(readFileSync(`/proc/${pid}/net/netlink`, "utf8"))) return true;
    } catch {
      // It has ended in the meantime.
    }
  }
  return false;
}

/** @param table as in /proc/net/netlink: address, protocol, port, groups in hex */
function hasListener(table: string): boolean {
  return table.split("\n").some((line) => {
    const [, protocol, , groups = ""] = line.trim().split(/ +/);
    return protocol === NETLINK_NETFILTER && (Number.parseInt(groups, 16) & GROUP_BIT) !== 0;
  });
}
