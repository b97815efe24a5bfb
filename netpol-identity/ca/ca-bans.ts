// Which nodes are banned, as an administrator wrote it into a ConfigMap: node name → since when, or
// `since/until` once the node may come back, so that what was issued before stays worthless.

import { asRecord, type JsonRecord } from "../../lib/kube/api/fields.ts";
import type { NodeBan } from "../model/tunnel-plan.ts";

/** More are a mistake; they would fill the object that every node watches. */
export const MAX_BANS = 10_000;
/** The last moment that a Date can hold: the ban stands until its entry says otherwise. */
export const FOREVER_MS = 8.64e15;

/**
 * Reads the ConfigMap's `data`, sorted by node. Never throws. What cannot be read as times bans
 * forever: a slip of the pen must not let a node in.
 */
export function parseBans(configMap: JsonRecord | undefined): readonly NodeBan[] {
  return Object.entries(asRecord(configMap?.["data"]))
    .slice(0, MAX_BANS)
    .map(([node, value]) => ({ node, untilMs: untilOf(value) }))
    .sort((a, b) => (a.node < b.node ? -1 : 1));
}

/** Whether the node gets no certificates now. */
export function isBanned(bans: readonly NodeBan[], node: string, nowMs: number): boolean {
  return bans.some((ban) => ban.node === node && nowMs < ban.untilMs);
}

function untilOf(value: unknown): number {
  const [, until] = typeof value === "string" ? value.split("/") : [];
  const untilMs = until === undefined ? Number.NaN : Date.parse(until);
  return Number.isNaN(untilMs) ? FOREVER_MS : untilMs;
}
