import assert from "node:assert/strict";
import { test } from "node:test";
import { DedupeWindow, TokenBucket } from "./event-limits.ts";

test("a bucket lets a burst through, then fills with time up to the burst", () => {
  const bucket = new TokenBucket({ burst: 2, perMs: 100 }, 0);
  assert.deepEqual([bucket.take(0), bucket.take(0), bucket.take(0)], [true, true, false]);
  assert.deepEqual([bucket.take(99), bucket.take(100), bucket.take(100)], [false, true, false]);
  assert.deepEqual(
    [1, 2, 3].map(() => bucket.take(100_000)),
    [true, true, false],
  );
});

test("a window admits a key again only after its time", () => {
  const window = new DedupeWindow({ windowMs: 100, limit: 10 });
  assert.deepEqual(
    [window.admit("a", 0), window.admit("a", 99), window.admit("b", 99)],
    [true, false, true],
  );
  assert.equal(window.admit("a", 100), true);
});

test("a window forgets its oldest keys when it is full", () => {
  const window = new DedupeWindow({ windowMs: 100, limit: 2 });
  for (const key of ["a", "b", "c"]) window.admit(key, 0);
  assert.deepEqual([window.admit("c", 1), window.admit("a", 1)], [false, true]);
});
