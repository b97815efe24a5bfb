// Takes away what kube-proxy left on this node. To be called when our own tables are programmed
// and kube-proxy has ended: a kube-proxy that still runs would write it all again.

import { readFile } from "node:fs/promises";
import type { AddressFamily } from "../../lib/ip/address.ts";
import type { NftKernel } from "../../lib/nft/objects.ts";
import { isKubeProxyChain } from "../model/kube-proxy-chains.ts";
import {
  ipvsLink,
  type Kept,
  type LeftoverState,
  planLeftoverRemoval,
  program,
  type RemovalStep,
} from "../plan/leftover-removal.ts";
import { readIptables, restoreIptables } from "./iptables.ts";
import { deleteTable } from "./own-tables.ts";
import { type RunProgram, runProgram } from "./run-program.ts";

/** Between reading rules and writing them somebody may have come in between: read again. */
const ATTEMPTS = 3;

export interface LeftoverOptions {
  readonly run: RunProgram;
  /** "when-idle" spares kube-ipvs0 while flows run through IPVS; "now" cuts them. */
  readonly ipvs: "when-idle" | "now";
}

export interface LeftoverReport {
  /** One line for each thing that went. */
  readonly removed: readonly string[];
  readonly kept: readonly Kept[];
  /** What could not be looked at or taken away; all else was done. */
  readonly problems: readonly string[];
}

/**
 * Removes kube-proxy's nftables, iptables and IPVS leftovers. Flows that live stay alive; new
 * ones find our tables. Doing it again does no harm.
 * @throws NftError, ProgramError when the kernel or a program could not be asked at all
 */
export async function removeKubeProxyLeftovers(
  kernel: NftKernel,
  options: LeftoverOptions = { run: runProgram, ipvs: "when-idle" },
): Promise<LeftoverReport> {
  const removed: string[] = [];
  for (let attempt = 1; ; attempt++) {
    const { state, problems } = await findLeftovers(kernel, options.run);
    const plan = planLeftoverRemoval(state, options.ipvs);
    const failures: string[] = [];
    for (const step of plan.steps) {
      const outcome = await takeStep(kernel, options.run, step);
      if (outcome.kind === "removed") removed.push(outcome.what);
      if (outcome.kind === "failed") failures.push(outcome.why);
    }
    if (failures.length === 0 || attempt === ATTEMPTS) {
      return { removed, kept: plan.kept, problems: [...problems, ...failures] };
    }
  }
}

type Outcome =
  | { readonly kind: "removed"; readonly what: string }
  | { readonly kind: "absent" }
  | { readonly kind: "failed"; readonly why: string };

async function takeStep(kernel: NftKernel, run: RunProgram, step: RemovalStep): Promise<Outcome> {
  switch (step.kind) {
    case "delete-nft-table": {
      const existed = await deleteTable(kernel, step.family, "kube-proxy");
      if (!existed) return { kind: "absent" };
      return { kind: "removed", what: `nft table ${step.family} kube-proxy` };
    }
    case "iptables-restore": {
      const why = await restoreIptables(run, step);
      const where = `${program(step.family)} (${step.variant})`;
      if (why !== undefined) return { kind: "failed", why: `Cannot remove chains: ${why}` };
      return { kind: "removed", what: `${step.chains} chains of ${where}` };
    }
    case "delete-link": {
      const result = await run("ip", ["link", "delete", step.name]);
      if (result.kind === "ended" && result.exitCode === 0) {
        return { kind: "removed", what: `interface ${step.name}` };
      }
      const why = result.kind === "missing" ? "the node has no ip program" : result.stderr.trim();
      return { kind: "failed", why: `Cannot delete interface ${step.name}: ${why}` };
    }
  }
}

async function findLeftovers(
  kernel: NftKernel,
  run: RunProgram,
): Promise<{ state: LeftoverState; problems: readonly string[] }> {
  const { states, problems } = await readIptables(run);
  const ipvs = await findIpvs();
  const hidden: string[] = [];
  for (const family of ["ip", "ip6"] as const) {
    const shown = states.some((state) => state.variant === "nft" && state.family === family);
    if (!shown) hidden.push(...(await hiddenChains(kernel, family)));
  }
  return {
    state: { iptables: states, ...(ipvs === undefined ? {} : { ipvs }) },
    problems: [...problems, ...hidden],
  };
}

/** Without its program the nft variant's rules still show as nft tables. */
async function hiddenChains(kernel: NftKernel, family: AddressFamily): Promise<readonly string[]> {
  const rules = await kernel.readRules(family, "nat");
  const chains = [...rules.keys()].filter(isKubeProxyChain);
  if (chains.length === 0) return [];
  const name = program(family);
  return [`Cannot remove ${chains.length} chains of ${name}: the node has no ${name}-nft-restore`];
}

async function findIpvs(): Promise<{ connections: number } | undefined> {
  const interfaces = await readFile("/proc/self/net/dev", "utf8");
  // Names are padded to six characters: a longer one begins its line.
  if (!new RegExp(`^ *${ipvsLink}:`, "m").test(interfaces)) return undefined;
  const table = await readFile("/proc/self/net/ip_vs_conn", "utf8").catch(() => "");
  const lines = table.split("\n").filter((line) => line !== "");
  return { connections: Math.max(0, lines.length - 1) }; // the first line is the heading
}
