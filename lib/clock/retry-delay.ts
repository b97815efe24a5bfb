// How long to wait before trying again.

export interface RetryBounds {
  /** Bound of the first wait. */
  readonly minMs: number;
  /** Bound of every wait. */
  readonly maxMs: number;
}

/**
 * Delay before retry `attempt` (0-based): anywhere from 0 to a bound that doubles. The full range
 * is used because hundreds of nodes lose the API server in the same instant, and only an even
 * spread keeps their return near the mean rate (fault F8).
 * @param random in [0, 1)
 */
export function retryDelayMs(
  { minMs, maxMs }: RetryBounds,
  attempt: number,
  random: number,
): number {
  // 2^30 is far above any bound; the exponent itself must not overflow.
  return random * Math.min(maxMs, minMs * 2 ** Math.min(attempt, 30));
}
