import assert from "node:assert/strict";
import { test } from "node:test";
import { BUCKET_COUNT, bucketBoundMs, bucketOf, quantileMs } from "./latency-buckets.ts";

test("each bound is in its own bucket, and what is just above in the next", () => {
  for (let bucket = 0; bucket < BUCKET_COUNT - 1; bucket++) {
    const bound = bucketBoundMs(bucket);
    // Only powers of two are exact; between them rounding may go either way.
    const exact = Number.isInteger(Math.log2(bound));
    assert.equal(bucketOf(exact ? bound : bound * 0.999), bucket);
    assert.equal(bucketOf(bound * 1.001), bucket + 1);
  }
});

test("every number has a bucket", () => {
  assert.equal(bucketOf(Number.NaN), 0);
  assert.equal(bucketOf(-1), 0);
  assert.equal(bucketOf(0), 0);
  assert.equal(bucketOf(Number.POSITIVE_INFINITY), BUCKET_COUNT - 1);
  assert.equal(bucketOf(1e12), BUCKET_COUNT - 1);
});

test("quantiles are within ten percent of the truth", () => {
  const counts = new Uint32Array(BUCKET_COUNT);
  for (let i = 1; i <= 10_000; i++) {
    const at = bucketOf(i / 100);
    counts[at] = (counts[at] ?? 0) + 1;
  }
  for (const share of [0.1, 0.5, 0.9, 0.99, 1]) {
    const quantile = quantileMs(counts, share) ?? 0;
    assert.ok(Math.abs(quantile / (share * 100) - 1) < 0.1, `${share}: ${quantile}`);
  }
  assert.equal(quantileMs(new Uint32Array(BUCKET_COUNT), 0.5), undefined);
});
