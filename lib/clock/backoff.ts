// Exponential backoff with jitter; time and chance are the caller's.

export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
  /** Share of the delay that chance may add, 0–1. */
  readonly jitter: number;
}

/** Delay before retry `attempt` (0-based), within [minMs, maxMs]. `random` is in [0, 1). */
export function backoffMs(backoff: Backoff, attempt: number, random: number): number {
  const base = Math.min(backoff.maxMs, backoff.minMs * 2 ** attempt);
  return Math.min(backoff.maxMs, base * (1 + backoff.jitter * random));
}
