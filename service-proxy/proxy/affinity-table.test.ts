import assert from "node:assert/strict";
import { test } from "node:test";
import { AffinityTable } from "./affinity-table.ts";

test("an entry lives from its last use, and is dropped when others come", () => {
  const table = new AffinityTable<string>(1_000);
  table.use("a", "x", 0);
  table.use("b", "y", 500);
  assert.equal(table.find("a", 999), "x");
  assert.equal(table.find("a", 1_000), undefined);
  table.use("c", "z", 1_200);
  assert.equal(table.size, 2);
  assert.equal(table.find("b", 1_499), "y");
});

test("a flood of clients takes no more than its bound; the longest away is forgotten", () => {
  const table = new AffinityTable<number>(60_000, 100);
  table.use("regular", 1, 0);
  for (let i = 0; i < 10_000; i++) {
    table.use(`client-${i}`, i, i);
    if (i % 50 === 0) table.use("regular", 1, i);
  }
  assert.equal(table.size, 100);
  assert.equal(table.find("regular", 10_000), 1);
  assert.equal(table.find("client-9800", 10_000), undefined);
});
