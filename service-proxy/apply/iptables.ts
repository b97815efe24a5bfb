// The iptables programs of the node: the nft variant and the legacy one, which may both be there
// and may both hold rules.

import { readFile } from "node:fs/promises";
import type { AddressFamily } from "../../lib/ip/address.ts";
import { parseIptablesSave } from "../model/iptables-save.ts";
import { type IptablesState, type IptablesVariant, program } from "../plan/leftover-removal.ts";
import type { RunProgram } from "./run-program.ts";

const families = ["ip", "ip6"] as const;
const variants = ["nft", "legacy"] as const;
const lockWaitSeconds = 10;

export interface FoundIptables {
  readonly states: readonly IptablesState[];
  /** Rules that are there, or may be, and that no program of this node can show. */
  readonly problems: readonly string[];
}

/** Reads all rules of both variants and families. @throws ProgramError */
export async function readIptables(run: RunProgram): Promise<FoundIptables> {
  const states: IptablesState[] = [];
  const problems: string[] = [];
  for (const variant of variants) {
    for (const family of families) {
      // Asking the legacy variant where it has no tables would load its kernel modules.
      if (variant === "legacy" && !(await hasLegacyTables(family))) continue;
      const save = await variantProgram(run, variant, family, "save");
      const result = save === undefined ? undefined : await run(save, []);
      if (result?.kind === "ended" && result.exitCode === 0) {
        states.push({ variant, family, tables: parseIptablesSave(result.stdout) });
      } else if (result?.kind === "ended") {
        problems.push(`Cannot read rules: ${save} says ${JSON.stringify(result.stderr.trim())}`);
      } else if (variant === "legacy") {
        problems.push(`Cannot read rules: no program shows the legacy ${program(family)} tables`);
      }
    }
  }
  return { states, problems };
}

/**
 * Feeds a variant's `iptables-restore --noflush`.
 * @returns why it failed; undefined on success, when every table of the input is changed
 * @throws ProgramError
 */
export async function restoreIptables(
  run: RunProgram,
  { variant, family, input }: { variant: IptablesVariant; family: AddressFamily; input: string },
): Promise<string | undefined> {
  const restore = await variantProgram(run, variant, family, "restore");
  if (restore === undefined) return `the node has no ${program(family)}-${variant}-restore`;
  const result = await run(restore, ["--noflush", `--wait=${lockWaitSeconds}`], input);
  if (result.kind === "missing") return `the node has no ${restore}`;
  if (result.exitCode === 0) return undefined;
  return `${restore} says ${JSON.stringify(result.stderr.trim())}`;
}

/** Nodes that have one variant only may name it plainly; its version text tells which it is. */
async function variantProgram(
  run: RunProgram,
  variant: IptablesVariant,
  family: AddressFamily,
  verb: "save" | "restore",
): Promise<string | undefined> {
  const named = `${program(family)}-${variant}-${verb}`;
  if ((await run(named, ["--version"])).kind === "ended") return named;
  const plain = `${program(family)}-${verb}`;
  const version = await run(plain, ["--version"]);
  if (version.kind === "missing") return undefined;
  const isNft = version.stdout.includes("(nf_tables)");
  return isNft === (variant === "nft") ? plain : undefined;
}

async function hasLegacyTables(family: AddressFamily): Promise<boolean> {
  const file = family === "ip" ? "ip_tables_names" : "ip6_tables_names";
  const names = await readFile(`/proc/self/net/${file}`, "utf8").catch(() => "");
  return names.trim() !== "";
}
