// Reports: what people and CI read.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  type CaseResult,
  countOutcomes,
  exitCodeOf,
  type Outcome,
  type RunResult,
} from "./case-result.ts";
import { formatReport, formatRow } from "./report.ts";

function result(id: string, outcome: Outcome): CaseResult {
  return {
    suite: "services",
    id,
    name: `${id} holds`,
    family: "ip",
    outcome,
    tookMs: 1_234,
    observations: [{ claim: "it answers", tookMs: 20 }],
    leftovers: [],
  };
}

const failed: Outcome = { kind: "failed", why: 'saw <"x">\u0007', earlier: ["saw nothing"] };
const run: RunResult = {
  suite: "services",
  startedAt: "2026-11-21T08:00:00.000Z",
  tookMs: 61_000,
  proxyMode: "nftables",
  nodes: ["a"],
  cases: [
    result("good", { kind: "passed" }),
    result("wobbly", { kind: "flaky", earlier: ["saw nothing"] }),
    result("bad", failed),
    result("away", { kind: "skipped", why: "needs 2 nodes: 1" }),
  ],
};

test("a row names the outcome, the case, the family and the time, and below it the reasons", () => {
  const row = formatRow({ ...result("bad", failed), leftovers: ["svc: gone wild"] });
  assert.match(row, /^FAIL {3}bad {31}IPv4 {4}1\.2s {2}bad holds\n/);
  assert.match(row, /saw <"x">.*\n {7}earlier attempt: saw nothing\n {7}left behind: svc/);
});

test("the table ends with counts and the mode of the proxy that was judged", () => {
  assert.equal(
    formatReport("table", run),
    "conformance services (proxy mode nftables): " +
      "1 passed, 1 flaky, 1 failed, 1 skipped in 61s\n",
  );
});

test("JSON is of our own kind, never a ConformanceReport", () => {
  const document = JSON.parse(formatReport("json", run));
  assert.equal(document.apiVersion, "innermesh.io/v1alpha1");
  assert.equal(document.kind, "ConformanceRun");
  assert.deepEqual(document.counts, countOutcomes(run.cases));
  assert.equal(document.cases[2].outcome.kind, "failed");
  assert.deepEqual(document.cases[0].observations, [{ claim: "it answers", tookMs: 20 }]);
});

test("JUnit counts and escapes; control characters, which XML cannot carry, are left out", () => {
  const xml = formatReport("junit", run);
  assert.match(xml, /tests="4" failures="1" errors="0" skipped="1" time="61\.000"/);
  assert.match(xml, /<failure message="saw &lt;&quot;x&quot;&gt;">saw &lt;&quot;x&quot;&gt;\n/);
  assert.match(xml, /<skipped message="needs 2 nodes: 1"\/>/);
  assert.match(xml, /name="good holds \[IPv4\]" time="1\.234"><\/testcase>/);
  // oxlint-disable-next-line no-control-regex -- that is what must not be there
  assert.doesNotMatch(xml, /[\u0000-\u0008]/);
});

test("a flake is no failure; a failure, an interruption and a run of skips alone are", () => {
  const [good, wobbly, bad, away] = run.cases;
  assert.ok(good && wobbly && bad && away);
  assert.equal(exitCodeOf([good, wobbly, away]), 0);
  assert.equal(exitCodeOf([good, bad]), 1);
  assert.equal(exitCodeOf([good, result("cut", { kind: "interrupted" })]), 1);
  assert.equal(exitCodeOf([away]), 1);
});
