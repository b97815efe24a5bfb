// How cases ended: the rows of every report.

import type { AddressFamily } from "../lib/ip/address.ts";
import type { Observation } from "./claim.ts";

export type Outcome =
  | { readonly kind: "passed" }
  /** Passed at a later attempt: as good as passed, and worth a look. */
  | { readonly kind: "flaky"; readonly earlier: readonly string[] }
  | { readonly kind: "failed"; readonly why: string; readonly earlier: readonly string[] }
  | { readonly kind: "skipped"; readonly why: string }
  /** The run was interrupted before it ended. */
  | { readonly kind: "interrupted" };

export interface CaseResult {
  readonly suite: string;
  readonly id: string;
  readonly name: string;
  readonly family: AddressFamily;
  readonly outcome: Outcome;
  readonly tookMs: number;
  /** Claims that came true in the last attempt, with the time they took. */
  readonly observations: readonly Observation[];
  /** What could not be removed from the cluster. */
  readonly leftovers: readonly string[];
}

export interface RunResult {
  readonly suite: string;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly tookMs: number;
  /** Mode of the proxy that was judged, where it says so. */
  readonly proxyMode?: string;
  readonly nodes: readonly string[];
  /** In the order of the suite, however they ran. */
  readonly cases: readonly CaseResult[];
}

export type OutcomeKind = Outcome["kind"];

/** How many cases ended in each way; every way is there. */
export function countOutcomes(cases: readonly CaseResult[]): Readonly<Record<OutcomeKind, number>> {
  const counts = { passed: 0, flaky: 0, failed: 0, skipped: 0, interrupted: 0 };
  for (const { outcome } of cases) counts[outcome.kind] += 1;
  return counts;
}

/**
 * 0 when everything that ran holds, 1 when something failed, was cut short, or nothing ran: a
 * suite that skipped itself has shown nothing.
 */
export function exitCodeOf(cases: readonly CaseResult[]): 0 | 1 {
  const { passed, flaky, failed, interrupted } = countOutcomes(cases);
  return failed === 0 && interrupted === 0 && passed + flaky > 0 ? 0 : 1;
}
