// The time door: everything that waits or measures takes a Clock, so tests can turn the hands.

export interface Clock {
  /** Milliseconds since an arbitrary start; never jumps back. For durations and deadlines. */
  monotonicMs(): number;
  /** Milliseconds since 1970 by the wall clock; may jump. For what people and the API read. */
  wallMs(): number;
  /**
   * Resolves after `durationMs`, or early when `signal` aborts. Never rejects: callers that
   * loop look at the signal.
   */
  sleep(durationMs: number, signal?: AbortSignal): Promise<void>;
}
