import assert from "node:assert/strict";
import { test } from "node:test";
import { RetryBudget } from "./retry-budget.ts";

test("when every request fails, all attempts are at most 1.2 × the requests (F54)", () => {
  const budget = new RetryBudget();
  let [requests, retries] = [0, 0];
  for (let nowMs = 0; nowMs < 60_000; nowMs += 2) {
    budget.request(nowMs);
    requests++;
    for (let attempt = 0; attempt < 3; attempt++) if (budget.tryRetry(nowMs)) retries++;
  }
  assert.ok((requests + retries) / requests <= 1.2, `${retries} retries of ${requests}`);
  assert.ok(retries / requests > 0.15);
});

test("a quiet group may retry three times a second", () => {
  const budget = new RetryBudget();
  let retries = 0;
  for (let second = 0; second < 100; second++) {
    budget.request(second * 1_000);
    for (let i = 0; i < 10; i++) if (budget.tryRetry(second * 1_000 + i)) retries++;
  }
  assert.ok(retries >= 290 && retries <= 330, `${retries}`);
});

test("what left the window no longer counts, also after a long silence", () => {
  const budget = new RetryBudget();
  for (let i = 0; i < 1_000; i++) budget.request(1_000);
  assert.equal(countRetries(budget, 1_000), 200);
  assert.equal(countRetries(budget, 10_999), 0);
  assert.equal(countRetries(budget, 11_000), 30);
  assert.equal(countRetries(budget, 9e9), 30);
});

function countRetries(budget: RetryBudget, nowMs: number): number {
  let retries = 0;
  while (budget.tryRetry(nowMs)) retries++;
  return retries;
}
