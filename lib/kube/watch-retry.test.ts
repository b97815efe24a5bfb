// Hundreds of nodes that fail together must not come back together.

import assert from "node:assert/strict";
import { test } from "node:test";
import { retryDelayMs } from "../clock/retry-delay.ts";
import { RETRY } from "./watch.ts";

test("F8: 200 nodes that lost their server together return at most at twice the mean rate", () => {
  const nodes = 200;
  for (const attempt of [0, 2, 9]) {
    // Evenly spread chance: what is tested is the formula, not a generator of random numbers.
    const returns = Array.from({ length: nodes }, (_, i) =>
      retryDelayMs(RETRY, attempt, (i + 0.5) / nodes),
    );
    const windowMs = Math.max(...returns);
    const buckets = Array.from({ length: 10 }, () => 0);
    for (const atMs of returns) {
      const bucket = Math.min(9, Math.floor((atMs / windowMs) * 10));
      buckets[bucket] = (buckets[bucket] ?? 0) + 1;
    }
    assert.ok(Math.max(...buckets) <= (2 * nodes) / 10, `attempt ${attempt}: ${buckets.join()}`);
  }
});
