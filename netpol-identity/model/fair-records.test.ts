import assert from "node:assert/strict";
import { test } from "node:test";
import { FairRecords } from "./fair-records.ts";

test("the newest of those that fill the room push out their own oldest, nobody else's", () => {
  const records = new FairRecords<string>(6);
  const add = (group: string, ...keys: readonly string[]): void => {
    for (const key of keys) records.set(key, group, key);
  };
  add("quiet", "q1", "q2");
  add("scan", "s1", "s2", "s3", "s4", "s5", "s6", "s7");
  assert.deepEqual(records.values(), ["q1", "q2", "s4", "s5", "s6", "s7"]);
  add("quiet", "q3");
  assert.deepEqual(records.values(), ["q1", "q2", "s5", "s6", "s7", "q3"]);
  add("late", "l1");
  assert.deepEqual(records.values(), ["q2", "s5", "s6", "s7", "q3", "l1"]);
});

test("one that comes again is the newest, and takes no more room", () => {
  const records = new FairRecords<number>(2);
  records.set("a", "x", 1);
  records.set("b", "x", 2);
  records.set("a", "y", (records.get("a") ?? 0) + 2);
  assert.deepEqual(records.values(), [2, 3]);
  records.set("c", "y", 4);
  assert.deepEqual(records.values(), [2, 4]);
  records.clear();
  assert.deepEqual([records.values(), records.get("a")], [[], undefined]);
});
