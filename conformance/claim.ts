// Holding a claim against the network: probe in rounds until enough rounds in a row are as
// expected, or the time is up. What a cluster has not converged to yet is not a failure.

import type { Clock } from "../lib/clock/clock.ts";
import type { Agent } from "./agent-identity.ts";
import { type Expectation, judge } from "./expectation.ts";
import type { ProbeResult, ProbeTarget } from "./probe-protocol.ts";

/** Something a case claims does not hold: the case fails. */
export class ClaimError extends Error {
  override readonly name = "ClaimError";
}

/** The cluster cannot show what a case claims: the case is skipped, with the reason. */
export class SkipError extends Error {
  override readonly name = "SkipError";
}

/** Where a probe goes. */
export interface Target extends ProbeTarget {
  /** HTTP only. @default "/" */
  readonly path?: string;
  /** Makes UDP probes one flow. @default the kernel's choice */
  readonly sourcePort?: number;
}

export interface Claim {
  /** A sentence, as reports print it. */
  readonly words: string;
  readonly from: Agent;
  readonly to: Target;
  readonly expected: Expectation;
}

/** How long it took until the network was as claimed. */
export interface Observation {
  readonly claim: string;
  readonly tookMs: number;
}

export type Probe = (
  from: Agent,
  to: Target & { readonly timeoutMs: number },
  count: number,
  parallel: number,
) => Promise<readonly ProbeResult[]>;

export interface ClaimOptions {
  readonly limitMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Good rounds in a row that settle a claim. */
export const roundsToSettle = 3;
const pauseMs = 100;
/** For a reply or a refusal: they come at once, or late on a busy machine. */
const replyTimeoutMs = 2_000;
/** For silence: every one of its probes lasts this long. */
const silenceTimeoutMs = 1_000;

/**
 * Resolves when the network is as claimed.
 * @throws ClaimError with what was seen last, when `limitMs` pass first
 */
export async function holdClaim(
  claim: Claim,
  probe: Probe,
  { limitMs, clock, signal }: ClaimOptions,
): Promise<Observation> {
  const startMs = clock.monotonicMs();
  const { timeoutMs, count, parallel } = roundOf(claim);
  let goodRounds = 0;
  let settledAtMs = startMs;
  for (;;) {
    signal.throwIfAborted();
    const results = await probe(claim.from, { ...claim.to, timeoutMs }, count, parallel);
    const problem = judge(claim.expected, claim.to.protocol, results);
    const nowMs = clock.monotonicMs();
    if (problem === undefined) {
      if (goodRounds === 0) settledAtMs = nowMs;
      goodRounds += 1;
      if (goodRounds === roundsToSettle) {
        return { claim: claim.words, tookMs: Math.round(settledAtMs - startMs) };
      }
    } else {
      goodRounds = 0;
      if (nowMs - startMs > limitMs) throw new ClaimError(formatFailure(claim, limitMs, problem));
    }
    await clock.sleep(pauseMs, signal);
  }
}

/** How much one round takes to tell. */
function roundOf({ expected, to }: Claim): {
  readonly timeoutMs: number;
  readonly count: number;
  readonly parallel: number;
} {
  const oneFlow = to.sourcePort !== undefined;
  switch (expected.kind) {
    case "answered": {
      // With n endpoints, 12 n tries miss one of them once in 160,000 n rounds.
      const tries = expected.every ? 12 * expected.by.length : expected.sameOne ? 12 : 4;
      const count = oneFlow ? 1 : tries;
      return { timeoutMs: replyTimeoutMs, count, parallel: Math.min(count, 8) };
    }
    case "refused":
      // Longer than the kernel makes the next ICMP error wait, and a SYN the next one.
      return { timeoutMs: replyTimeoutMs, count: oneFlow ? 1 : 3, parallel: 1 };
    case "http":
      return { timeoutMs: replyTimeoutMs, count: 2, parallel: 1 };
    case "dropped":
    case "unanswered":
      return { timeoutMs: silenceTimeoutMs, count: oneFlow ? 1 : 4, parallel: 4 };
  }
}

function formatFailure({ words, from, to }: Claim, limitMs: number, problem: string): string {
  const host = to.address.includes(":") ? `[${to.address}]` : to.address;
  const path = `${to.protocol} ${from.name} (${from.place} on ${from.node}) → ${host}:${to.port}`;
  return `${words}: after ${limitMs} ms ${path}: ${problem}`;
}
