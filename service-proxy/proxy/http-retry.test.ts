import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteRetry } from "../model/route-table.ts";
import { type AttemptEnd, decideRetry } from "./http-retry.ts";

const RETRY: RouteRetry = { statusCodes: [503], attempts: 2, backoffMs: 100 };
const STATUS_503 = { status: 503 };

type Case = readonly [
  end: AttemptEnd,
  method: string,
  attempts: number,
  retry: RouteRetry | undefined,
  again: boolean,
];

const CASES: Readonly<Record<string, readonly Case[]>> = {
  "what may have been processed is repeated only if that does no harm, and a rule says so": [
    ["reset", "GET", 1, RETRY, true],
    ["reset", "GET", 1, undefined, false],
    ["reset", "POST", 1, RETRY, false],
    ["timeout", "GET", 1, RETRY, true],
    ["timeout", "POST", 1, RETRY, false],
    ["protocol", "PATCH", 1, RETRY, false],
  ],
  "a kept connection that closed is no answer, except to what must not be doubled": [
    ["stale", "GET", 1, undefined, true],
    ["stale", "DELETE", 2, undefined, true],
    ["stale", "GET", 3, undefined, false],
    ["stale", "POST", 1, RETRY, false],
  ],
  "what was never processed goes elsewhere, whatever it is": [
    ["unprocessed", "POST", 1, undefined, true],
    ["unprocessed", "POST", 3, undefined, false],
    ["connect-failed", "POST", 2, undefined, true],
    ["connect-timeout", "POST", 3, undefined, false],
  ],
  "answers are tried again by the rule's statuses and number": [
    [STATUS_503, "POST", 2, RETRY, true],
    [STATUS_503, "GET", 3, RETRY, false],
    [STATUS_503, "GET", 1, undefined, false],
    [{ status: 500 }, "GET", 1, RETRY, false],
  ],
  "a limit of this machine is not tried against": [["limit", "GET", 1, RETRY, false]],
};

for (const [rule, cases] of Object.entries(CASES)) {
  test(rule, () => {
    for (const [end, method, attempts, retry, again] of cases) {
      const rules = retry === undefined ? {} : { retry };
      const decision = decideRetry(end, rules, { method, attempts, random: 0 });
      assert.equal(decision !== undefined, again, JSON.stringify([end, method, attempts]));
    }
  });
}

test("the rule's backoff is the least, and is spread", () => {
  const backoff = (random: number): number | undefined =>
    decideRetry(STATUS_503, { retry: RETRY }, { method: "GET", attempts: 1, random })?.backoffMs;
  assert.deepEqual([backoff(0), backoff(0.5)], [100, 150]);
});
