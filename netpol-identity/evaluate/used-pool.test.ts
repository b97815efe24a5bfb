import assert from "node:assert/strict";
import { test } from "node:test";
import { UsedPool } from "./used-pool.ts";

test("a value stays the same while it is used between sweeps, and is dropped when it was not", () => {
  const pool = new UsedPool<object>();
  const made = pool.use("a", () => ({}));
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(pool.sweep(), []);
    assert.equal(
      pool.use("a", () => ({})),
      made,
    );
  }
  pool.sweep();
  assert.deepEqual([...pool.values()], [made]);
  assert.deepEqual(pool.sweep(), [made]);
  assert.deepEqual([...pool.values()], []);
  assert.notEqual(
    pool.use("a", () => ({})),
    made,
  );
});
