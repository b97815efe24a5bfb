// Whether br_netfilter shows the frames of bridges to the IP hooks of this network namespace.

import { readFile } from "node:fs/promises";

const PROGRAM = { ip: "iptables", ip6: "ip6tables" } as const;

/** True for a family whose frames the IP hooks see; never throws. */
export async function isBridgeWatched(family: "ip" | "ip6"): Promise<boolean> {
  const path = `/proc/sys/net/bridge/bridge-nf-call-${PROGRAM[family]}`;
  // Without the module there is no such file.
  return (await readFile(path, "utf8").catch(() => "0")).trim() !== "0";
}
