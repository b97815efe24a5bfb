// How to take away what kube-proxy left behind, without taking what others own or still use.
// Pure. Flows that live stay alive: their NAT is held by conntrack, not by rules. So our own table
// must stand, programmed, before the first step; each step then only takes away a second copy.

import type { AddressFamily } from "../../lib/ip/address.ts";
import type { SavedRule, SavedTable } from "../model/iptables-save.ts";
import { isKubeProxyChain, isKubeProxyEntry } from "../model/kube-proxy-chains.ts";

/** One of the two implementations of iptables; both may hold rules at once. */
export type IptablesVariant = "nft" | "legacy";

export interface IptablesState {
  readonly variant: IptablesVariant;
  readonly family: AddressFamily;
  readonly tables: readonly SavedTable[];
}

/** What was found on the node. */
export interface LeftoverState {
  readonly iptables: readonly IptablesState[];
  /** kube-ipvs0, the interface that holds the Service addresses in ipvs mode. */
  readonly ipvs?: { readonly connections: number };
}

export type RemovalStep =
  /** The table `kube-proxy`; it is no fault when there is none. */
  | { readonly kind: "delete-nft-table"; readonly family: AddressFamily }
  /** Standard input of `iptables-restore --noflush`; atomic for each table. */
  | {
      readonly kind: "iptables-restore";
      readonly variant: IptablesVariant;
      readonly family: AddressFamily;
      readonly input: string;
      readonly chains: number;
    }
  | { readonly kind: "delete-link"; readonly name: string };

/** Something of kube-proxy's that stays, and why. */
export interface Kept {
  readonly what: string;
  readonly because: string;
}

export interface RemovalPlan {
  readonly steps: readonly RemovalStep[];
  readonly kept: readonly Kept[];
}

export const ipvsLink = "kube-ipvs0";

/**
 * Plans the removal of kube-proxy's leftovers of all three modes.
 * @param ipvs "when-idle" spares the interface while flows run through IPVS; "now" cuts them
 */
export function planLeftoverRemoval(state: LeftoverState, ipvs: "when-idle" | "now"): RemovalPlan {
  const steps: RemovalStep[] = [
    { kind: "delete-nft-table", family: "ip" },
    { kind: "delete-nft-table", family: "ip6" },
  ];
  const kept: Kept[] = [];
  for (const { variant, family, tables } of state.iptables) {
    const plans = tables.map((table) => planTable(table, `${program(family)} (${variant})`));
    kept.push(...plans.flatMap((plan) => plan.kept));
    const input = plans.map((plan) => plan.input).join("");
    const chains = plans.reduce((sum, plan) => sum + plan.chains, 0);
    if (input !== "") steps.push({ kind: "iptables-restore", variant, family, input, chains });
  }
  if (state.ipvs !== undefined) {
    const { connections } = state.ipvs;
    if (connections === 0 || ipvs === "now") steps.push({ kind: "delete-link", name: ipvsLink });
    else kept.push({ what: ipvsLink, because: `${connections} flows run through IPVS` });
  }
  return { steps, kept };
}

/** The program that handles a family's rules, without its variant. */
export function program(family: AddressFamily): "iptables" | "ip6tables" {
  return family === "ip" ? "iptables" : "ip6tables";
}

function planTable(
  table: SavedTable,
  where: string,
): { readonly input: string; readonly chains: number; readonly kept: readonly Kept[] } {
  const reasons = chainsToKeep(table);
  const doomed = [...table.chains.keys()].filter(
    (chain) => isKubeProxyChain(chain) && !reasons.has(chain),
  );
  const gone = new Set(doomed);
  const jumps = table.rules.filter(
    (rule) => rule.target !== undefined && gone.has(rule.target) && !gone.has(rule.chain),
  );
  const kept = [...reasons].map(([chain, because]) => ({
    what: `${where} chain ${chain} of table ${table.name}`,
    because,
  }));
  if (doomed.length === 0) return { input: "", chains: 0, kept };
  const lines = [
    `*${table.name}`,
    ...doomed.map((chain) => `:${chain} - [0:0]`), // with --noflush: empties this chain only
    ...jumps.map((rule) => `-D ${rule.chain} ${rule.specification}`),
    ...doomed.map((chain) => `-X ${chain}`),
    "COMMIT\n",
  ];
  return { input: lines.join("\n"), chains: doomed.length, kept };
}

/** @returns chain → why it stays; chains that a kept one needs stay with it */
function chainsToKeep(table: SavedTable): ReadonlyMap<string, string> {
  const reasons = new Map<string, string>();
  const keep = (chain: string, because: string): void => {
    if (!isKubeProxyChain(chain) || reasons.has(chain)) return;
    reasons.set(chain, because);
    for (const rule of table.rules) {
      if (rule.chain === chain && rule.target !== undefined) {
        keep(rule.target, `${chain} needs it`);
      }
    }
  };
  const forwardPolicy = table.name === "filter" ? table.chains.get("FORWARD") : undefined;
  if (
    forwardPolicy !== undefined &&
    forwardPolicy !== "ACCEPT" &&
    table.chains.has("KUBE-FORWARD")
  ) {
    keep("KUBE-FORWARD", `FORWARD's policy is ${forwardPolicy}: it lets Service traffic through`);
  }
  for (const rule of table.rules) {
    if (rule.target !== undefined && isForeign(rule, table)) {
      keep(rule.target, `${rule.chain} jumps to it`);
    }
  }
  if (
    table.name === "nat" &&
    reasons.has("KUBE-MARK-MASQ") &&
    table.chains.has("KUBE-POSTROUTING")
  ) {
    keep("KUBE-POSTROUTING", "it masquerades what KUBE-MARK-MASQ marks");
  }
  return reasons;
}

/** True for a jump into kube-proxy's chains that kube-proxy did not make. */
function isForeign(rule: SavedRule, table: SavedTable): boolean {
  if (rule.target === undefined || !isKubeProxyChain(rule.target)) return false;
  if (isKubeProxyChain(rule.chain)) return false;
  const builtIn = table.chains.get(rule.chain) !== "-";
  return !(builtIn && isKubeProxyEntry(rule.target));
}
