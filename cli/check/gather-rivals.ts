// Looks for kube-proxy: its rules in every form, and its process.

import { readdirSync, readlinkSync } from "node:fs";
import type { NftKernel } from "../../lib/nft/objects.ts";
import { readIptables } from "../../service-proxy/apply/iptables.ts";
import { runProgram } from "../../service-proxy/apply/run-program.ts";
import { isKubeProxyChain } from "../../service-proxy/model/kube-proxy-chains.ts";
import { ipvsLink, program } from "../../service-proxy/plan/leftover-removal.ts";
import type { RivalFacts } from "./facts.ts";
import type { KernelDoor } from "./gather-kernel.ts";
import { factOf, readText } from "./kernel-files.ts";

export async function gatherRivals(door: KernelDoor): Promise<RivalFacts> {
  return {
    rules: door.kind === "known" ? await factOf(() => findRules(door.value)) : door,
    processes: await factOf(findProcesses),
  };
}

async function findRules(kernel: NftKernel): Promise<readonly string[]> {
  const found: string[] = [];
  for (const family of ["ip", "ip6"] as const) {
    const chains = await kernel.readRules(family, "kube-proxy");
    if (chains.size > 0) found.push(`nft table ${family} kube-proxy`);
  }
  const { states } = await readIptables(runProgram);
  for (const { variant, family, tables } of states) {
    const chains = tables.flatMap((table) => [...table.chains.keys()].filter(isKubeProxyChain));
    if (chains.length > 0) found.push(`${chains.length} chains of ${program(family)} (${variant})`);
  }
  const links = readText("/proc/self/net/dev");
  if (links.kind === "known" && links.value.includes(`${ipvsLink}:`)) found.push(ipvsLink);
  return found;
}

/** Only of this network namespace: on one machine there may be many nodes. */
function findProcesses(): readonly number[] {
  const own = readlinkSync("/proc/self/ns/net");
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      const name = readText(`/proc/${pid}/comm`);
      return name.kind === "known" && name.value === "kube-proxy" && namespaceOf(pid) === own;
    })
    .map(Number);
}

function namespaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined; // It ended by itself in the meantime.
  }
}
