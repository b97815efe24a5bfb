// What nf_tables costs by itself: a table of the kernel lane's shape written whole and changed by
// one endpoint, over netlink and through the `nft` program. No agent and no API server.

import { fileURLToPath } from "node:url";
import { runOrThrow } from "../playground/command.ts";
import type { BenchContext, BenchResult } from "../scripts/bench-report.ts";
import { awaitNoListeners } from "./ruleset-listeners.ts";

export const name = "nft-commit";

const SERVICES = 10_000;
const ENDPOINTS = 10;
const CASE = "10,000 Services × 10";
const LIMIT_MS = 120_000;

const NOTES = [
  `A table of the kernel lane's shape in a network namespace of its own, without agent or API
server: our netlink batches beside the \`nft\` program with the same text.`,
];

/** What `nft-commit-program.ts` prints. */
export interface CommitTimes {
  readonly encodeMs: number;
  /** Encoding included. */
  readonly commitMs: number;
  readonly sentBytes: number;
  readonly changeP50Ms: number;
  readonly changeP99Ms: number;
  readonly readMs: number;
  readonly nftMs: number;
  readonly nftChangeMs: number;
}

export async function run({ signal }: BenchContext): Promise<BenchResult> {
  const program = fileURLToPath(new URL("./nft-commit-program.ts", import.meta.url));
  const node = [process.execPath, "--disable-warning=ExperimentalWarning", program];
  const size = [String(SERVICES), String(ENDPOINTS)];
  // The namespace has no name and goes with the program.
  const argv = ["unshare", "--net", "--", ...node, ...size];
  await awaitNoListeners();
  const output = await runOrThrow(argv, { timeoutMs: LIMIT_MS, signal });
  const times = JSON.parse(output) as CommitTimes;
  const row = (subject: string, metric: string, value: number, unit = "ms") => {
    return { case: CASE, subject, metric, unit, value };
  };
  return {
    notes: NOTES,
    rows: [
      row("innermesh", "encode", times.encodeMs),
      row("innermesh", "encode and commit", times.commitMs),
      row("nft -f", "encode and commit", times.nftMs),
      row("innermesh", "batch", times.sentBytes / 1_000, "kB"),
      row("innermesh", "one endpoint, p50", times.changeP50Ms),
      row("innermesh", "one endpoint, p99", times.changeP99Ms),
      row("nft -f", "one endpoint, p50", times.nftChangeMs),
      row("innermesh", "read back", times.readMs),
    ],
    budgets: [],
  };
}
