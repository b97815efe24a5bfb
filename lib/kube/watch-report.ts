// What a source tells about its watches, for metrics and logs.

import type { Kind } from "./store.ts";

export interface WatchReport {
  readonly resource: Kind;
  /**
   * - `listed`: a complete list was taken.
   * - `current`: the server proved the state as new as its own, by an event, a bookmark or a
   *   new watch. Age of data counts from here.
   * - `failed`: a list or a watch failed; it is tried again.
   * - `absent`: the cluster lacks an optional API, or we may not read it.
   */
  readonly kind: "listed" | "current" | "failed" | "absent";
  /** On the clock's monotonic hand, so that ages survive a clock that is set. */
  readonly atMs: number;
  /** For `failed` and `absent`; never holds a token. */
  readonly why?: string;
}
