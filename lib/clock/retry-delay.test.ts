import assert from "node:assert/strict";
import { test } from "node:test";
import { retryDelayMs } from "./retry-delay.ts";

test("the bound doubles from the least to the greatest, and chance takes a share of it", () => {
  const bounds = { minMs: 100, maxMs: 1_000 };
  const delays = [0, 1, 2, 3, 4, 5_000].map((attempt) => retryDelayMs(bounds, attempt, 0.5));
  assert.deepEqual(delays, [50, 100, 200, 400, 500, 500]);
  assert.equal(retryDelayMs(bounds, 3, 0), 0);
});
