import assert from "node:assert/strict";
import { test } from "node:test";
import type { CaseResult } from "../case-result.ts";
import { judgeWithoutSctp } from "./cluster-policy-suite.ts";

const sctp = "FAILED Command was [/agnhost connect --timeout=3s --protocol=sctp 192.0.2.1:9003]";
const tcp = "FAILED Command was [/agnhost connect --timeout=3s --protocol=tcp 192.0.2.1:80]";
const END = "Condition never satisfied";

test("without SCTP, a test that ended at its first probe of SCTP was not tested further", () => {
  for (const why of [`${sctp}; ${END}`, `${tcp}; Expected connection; ${sctp}; ${END}`]) {
    const { outcome } = judgeWithoutSctp(failed(why));
    assert.ok(outcome.kind === "skipped");
    assert.match(outcome.why, /until its first probe of SCTP/);
  }
});

test("another probe that never came true, or did not stay so, is a failure all the same", () => {
  for (const why of [`${tcp}; ${END}`, `Should be true; ${sctp}; ${END}`, "no cluster"]) {
    assert.equal(judgeWithoutSctp(failed(why)).outcome.kind, "failed");
  }
});

test("what passed has passed", () => {
  const passed: CaseResult = { ...failed(""), outcome: { kind: "passed" } };
  assert.equal(judgeWithoutSctp(passed).outcome.kind, "passed");
});

function failed(why: string): CaseResult {
  return {
    suite: "cnp",
    id: "Test/part",
    name: "Test/part",
    family: "ip",
    outcome: { kind: "failed", why, earlier: [] },
    tookMs: 0,
    observations: [],
    leftovers: [],
  };
}
