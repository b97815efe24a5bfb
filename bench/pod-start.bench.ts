// What an identity adds to a pod's start: its first packet waits for its node to know it and, the
// first of its ServiceAccount there, for a certificate.

import assert from "node:assert/strict";
import type { BenchContext, BenchResult, BenchRow } from "../scripts/bench-report.ts";
import { type PodKind, startPodStartStage } from "./pod-start-stage.ts";
import { percentile } from "./statistics.ts";
import { inTurns } from "./turns.ts";

export const name = "pod-start";

const PLAIN: PodKind = { subject: "not enrolled", namespace: "plain", account: "own" };
const KINDS: readonly PodKind[] = [
  PLAIN,
  { subject: "enrolled, known identity", namespace: "default", account: "shared" },
  { subject: "enrolled, new identity", namespace: "default", account: "own" },
];
const ROUNDS = 14;
const AT_ONCE = 5;
const CASE = `${ROUNDS * AT_ONCE} pods, ${AT_ONCE} at a time`;
const SHARES = [
  ["p50", 0.5],
  ["p99", 0.99],
] as const;

const NOTE = `From the moment in which a pod's object is written to the first answer that it gets
from a server on another node, under a real API server with two controllers that sign. The pod tries
every 20 ms from that moment on, which no real one can: its sandbox is made after its object, so
what is added here is an upper bound of what its start gets longer by. A known identity is one that
its node has a certificate for. Of less than a hundred pods the p99 is the slowest.`;

export async function run({ print, signal }: BenchContext): Promise<BenchResult> {
  await using stage = await startPodStartStage();
  // Whoever is first meets code that never ran, and the first shared one a new identity.
  for (const kind of KINDS) await stage.start(kind);
  print(`${CASE}, of ${KINDS.length} kinds`);
  const batch = (kind: PodKind): Promise<number[]> =>
    Promise.all(Array.from({ length: AT_ONCE }, () => stage.start(kind)));
  const measured = await inTurns(KINDS, ROUNDS, batch, signal);
  const plainMs = measured.get(PLAIN)?.flat();
  assert(plainMs !== undefined);
  const rows = [...measured].flatMap(([kind, batches]) => rowsOf(kind, batches.flat(), plainMs));
  return { rows, budgets: [], notes: [NOTE] };
}

function rowsOf(kind: PodKind, ownMs: readonly number[], plainMs: readonly number[]): BenchRow[] {
  return SHARES.flatMap(([word, share]) => {
    const value = percentile(ownMs, share);
    const row = { case: CASE, subject: kind.subject, unit: "ms" };
    const whole = { ...row, metric: `object to first answer, ${word}`, value };
    if (kind === PLAIN) return [whole];
    return [whole, { ...row, metric: `added, ${word}`, value: value - percentile(plainMs, share) }];
  });
}
