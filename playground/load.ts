// Open-loop load: connection n starts at its time whether or not earlier ones were answered, and
// is never tried again. Only so does a gap in service show as failures instead of as slowness.

import assert from "node:assert/strict";

import type { Clock } from "../lib/clock/clock.ts";
import type {
  LoadFailure,
  LoadPod,
  LoadReport,
  LoadRequest,
  ProbeRequest,
  ProbeResult,
} from "./probe-protocol.ts";

export const maximumConnections = 1_000_000;
const maximumFailuresKept = 1000;

/**
 * Runs one load to its end, or until `signal` aborts, and waits for the answers still out.
 * @param attempt must never reject
 */
export async function runLoad(
  load: LoadRequest,
  attempt: (probe: ProbeRequest) => Promise<ProbeResult>,
  clock: Clock,
  signal: AbortSignal,
): Promise<LoadReport> {
  const total = Math.ceil((load.durationMs * load.ratePerSecond) / 1000);
  assert(total <= maximumConnections, `a load of ${total} connections is too long`);
  const tally = new Tally();
  const outstanding = new Set<Promise<void>>();
  const startMs = clock.monotonicMs();
  let started = 0;
  while (started < total && !signal.aborted) {
    const elapsedMs = clock.monotonicMs() - startMs;
    const due = Math.min(total, Math.floor((elapsedMs * load.ratePerSecond) / 1000) + 1);
    while (started < due) {
      const number = ++started;
      const answered = attempt(load).then((result) => {
        tally.add(number, elapsedMs, result);
        outstanding.delete(answered);
      });
      outstanding.add(answered);
    }
    await clock.sleep(1, signal);
  }
  await Promise.all(outstanding);
  return tally.report(started);
}

class Tally {
  readonly #failures: LoadFailure[] = [];
  readonly #pods = new Map<string, LoadPod>();
  readonly #rttsUs: number[] = [];

  add(number: number, startMs: number, result: ProbeResult): void {
    if (result.kind !== "reply") {
      const failure = { number, startMs, failure: result };
      if (this.#failures.length < maximumFailuresKept) this.#failures.push(failure);
      return;
    }
    this.#rttsUs.push(result.rttUs);
    const name = result.echo?.pod ?? "";
    const before = this.#pods.get(name) ?? { count: 0, firstMs: startMs, lastMs: startMs };
    this.#pods.set(name, {
      count: before.count + 1,
      firstMs: Math.min(before.firstMs, startMs),
      lastMs: Math.max(before.lastMs, startMs),
    });
  }

  report(started: number): LoadReport {
    const sorted = this.#rttsUs.toSorted((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
    return {
      started,
      answered: sorted.length,
      failed: started - sorted.length,
      failures: this.#failures.toSorted((a, b) => a.number - b.number),
      pods: Object.fromEntries(this.#pods),
      rttUs: { p50: at(0.5), p99: at(0.99), maximum: at(1) },
    };
  }
}
