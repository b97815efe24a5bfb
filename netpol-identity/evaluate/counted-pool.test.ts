import assert from "node:assert/strict";
import { test } from "node:test";
import { CountedPool } from "./counted-pool.ts";

test("a value stays the same until it was released as often as it was taken", () => {
  const pool = new CountedPool<object>();
  const made = pool.take("a", () => ({}));
  const again = () => pool.take("a", () => ({}));
  assert.equal(again(), made);
  assert.equal(pool.release("a"), false);
  assert.equal(again(), made);
  assert.equal(pool.release("a"), false);
  assert.equal(pool.release("a"), true);
  assert.notEqual(again(), made);
  assert.throws(() => pool.release("b"), /nobody took b/);
});
