import assert from "node:assert/strict";
import { test } from "node:test";
import { KeyedBuckets, MAX_BUCKETS } from "./keyed-buckets.ts";

test("a bucket holds a burst, fills again with time and no further than that", () => {
  let nowMs = 0;
  const buckets = new KeyedBuckets({ burst: 3, perSecond: 2, nowMs: () => nowMs });
  const takeAll = (key: string): number => {
    let taken = 0;
    while (buckets.take(key)) taken += 1;
    return taken;
  };
  assert.equal(takeAll("a"), 3);
  assert.equal(takeAll("b"), 3, "each key has its own");
  assert.ok(buckets.isEmpty("a"));
  nowMs += 1_000;
  assert.ok(!buckets.isEmpty("a"));
  assert.equal(takeAll("a"), 2);
  buckets.give("a");
  assert.equal(takeAll("a"), 1);
  nowMs += 3_600_000;
  assert.equal(takeAll("a"), 3);
});

test("of more keys than there is room for, the one used longest ago is forgotten", () => {
  const buckets = new KeyedBuckets({ burst: 1, perSecond: 1, nowMs: () => 0 });
  for (let i = 0; i <= MAX_BUCKETS; i++) buckets.take(`${i}`);
  assert.ok(!buckets.isEmpty("0"));
  assert.ok(buckets.isEmpty("1") && buckets.isEmpty(`${MAX_BUCKETS}`));
});

test("whoever gave back all that was taken has no bucket, and pushes nobody's out", () => {
  const buckets = new KeyedBuckets({ burst: 1, perSecond: 1, nowMs: () => 0 });
  buckets.take("empty");
  for (let i = 0; i <= MAX_BUCKETS; i++) {
    buckets.take(`${i}`);
    buckets.give(`${i}`);
  }
  assert.ok(buckets.isEmpty("empty"));
});
