// Asks nf_tables, the nft program and /proc what this kernel can do.

import { existsSync } from "node:fs";
import { release } from "node:os";
import { type Family, NftError, type NftKernel } from "../../lib/nft/objects.ts";
import { runProgram } from "../../service-proxy/apply/run-program.ts";
import type { NodeSettings } from "../../service-proxy/config/node-settings.ts";
import { rulesetOptions } from "../../service-proxy/plan/family-facts.ts";
import { tableSettings } from "../../service-proxy/plan/table-settings.ts";
import { type Fact, type KernelFacts, known, type RefusedPart, unknown } from "./facts.ts";
import { factOf, readNumber, readText } from "./kernel-files.ts";
import { type ProbePurpose, partProbes, wholeProbe } from "./probe-tables.ts";

/** nf_tables of this namespace, or why it does not answer. */
export type KernelDoor = Fact<NftKernel>;

export async function gatherKernel(
  door: KernelDoor,
  settings: NodeSettings,
  families: readonly Family[],
): Promise<KernelFacts> {
  const ask = <T>(question: (kernel: NftKernel) => Promise<T>): Promise<Fact<T>> =>
    door.kind === "known" ? factOf(() => question(door.value)) : Promise.resolve(door);
  return {
    release: release(),
    generation: await ask((kernel) => kernel.generation()),
    refused: await ask((kernel) => refusedParts(kernel, { settings, families }, "services")),
    refusedLane: await ask((kernel) => refusedParts(kernel, { settings, families }, "lanes")),
    nftVersion: await factOf(nftVersion),
    capabilities: capabilities(),
    tracksSctp: tracksSctp(),
  };
}

async function refusedParts(
  kernel: NftKernel,
  { settings, families }: { readonly settings: NodeSettings; readonly families: readonly Family[] },
  purpose: ProbePurpose,
): Promise<readonly RefusedPart[]> {
  const refused: RefusedPart[] = [];
  for (const family of families) {
    const options = rulesetOptions(tableSettings(settings, "", []), family);
    const whole = { part: "the ruleset as a whole", transaction: wholeProbe(options, purpose) };
    const why = await refusal(kernel, whole.transaction);
    if (why === undefined) continue;
    const parts: RefusedPart[] = [];
    for (const { part, transaction } of partProbes(options, purpose)) {
      const partWhy = await refusal(kernel, transaction);
      if (partWhy !== undefined) parts.push({ family, part, why: partWhy });
    }
    refused.push(...(parts.length > 0 ? parts : [{ family, part: whole.part, why }]));
  }
  return refused;
}

async function refusal(
  kernel: NftKernel,
  transaction: Parameters<NftKernel["commit"]>[0][number],
): Promise<string | undefined> {
  try {
    await kernel.commit([transaction]);
    return undefined;
  } catch (error) {
    if (!(error instanceof NftError)) throw error;
    return error.code;
  }
}

async function nftVersion(): Promise<string | undefined> {
  const result = await runProgram("nft", ["--version"]);
  if (result.kind === "missing") return undefined;
  return /v(\d+(?:\.\d+)*)/.exec(result.stdout)?.[1] ?? result.stdout.trim();
}

function capabilities(): Fact<bigint> {
  const status = readText("/proc/self/status");
  if (status.kind === "unknown") return status;
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(status.value)?.[1];
  return hex === undefined ? unknown("/proc/self/status has no CapEff") : known(BigInt(`0x${hex}`));
}

function tracksSctp(): Fact<boolean> {
  const count = readNumber("/proc/sys/net/netfilter/nf_conntrack_count");
  if (count.kind === "unknown") return count;
  return known(existsSync("/proc/sys/net/netfilter/nf_conntrack_sctp_timeout_established"));
}
