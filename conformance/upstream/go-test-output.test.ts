import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGoTests } from "./go-test-output.ts";

const OUTPUT = `=== RUN   TestSuite
    suite.go:1: settings
=== RUN   TestSuite/First
=== RUN   TestSuite/First/case_1
    pod.go:2: not ready yet: wanted 303, got 200 (after 1.5s)
    pod.go:2: not ready yet: wanted 303, got 200 (after 2.5s)
    http.go:3:
        Error Trace:	/go/http.go:3
        Error:      	Received unexpected error
        Messages:   	timeout while waiting
=== RUN   TestSuite/Second
    suite.go:4: Skipping Second: suite does not support Gateway
=== RUN   TestSuite/Third
=== NAME  TestSuite/First
    late.go:5: not ready yet: reset
--- FAIL: TestSuite (3.00s)
    --- FAIL: TestSuite/First (2.50s)
        --- FAIL: TestSuite/First/case_1 (2.50s)
    --- SKIP: TestSuite/Second (0.00s)
    --- PASS: TestSuite/Third (0.01s)
        --- PASS: TestSuite/Third/one (0.25s)
        --- PASS: TestSuite/Third/other (0.20s)
FAIL
`;

test("tests below the program's own are results, which last as long as what is below", () => {
  const results = parseGoTests("s", OUTPUT);
  assert.deepEqual(
    results.map(({ id, outcome, tookMs }) => [id, outcome.kind, tookMs]),
    [
      ["First", "failed", 2500],
      ["Second", "skipped", 0],
      ["Third", "passed", 250],
    ],
  );
});

test("a failure tells the last different things that were said, a skip its reason", () => {
  const [first, second] = parseGoTests("s", OUTPUT).map(({ outcome }) => outcome);
  assert.ok(first?.kind === "failed");
  assert.equal(
    first.why,
    "wanted 303, got 200; Received unexpected error; timeout while waiting; reset",
  );
  assert.ok(second?.kind === "skipped");
  assert.equal(second.why, "suite does not support Gateway");
});

test("of two levels the lower ones are results, and upper ones with nothing below", () => {
  const results = parseGoTests("s", OUTPUT, 2);
  assert.deepEqual(
    results.map(({ id, name, outcome }) => [id, name, outcome.kind]),
    [
      ["First/case_1", "First/case 1", "failed"],
      ["Second", "Second", "skipped"],
      ["Third/one", "Third/one", "passed"],
      ["Third/other", "Third/other", "passed"],
    ],
  );
});

test("a test that failed by itself is a result beside what is below it", () => {
  const output = [
    "    --- FAIL: TestSuite/First (1.00s)",
    "        --- PASS: TestSuite/First/a/b (1.00s)",
  ];
  assert.deepEqual(
    parseGoTests("s", output.join("\n"), 2).map(({ id, outcome }) => [id, outcome.kind]),
    [
      ["First", "failed"],
      ["First/a/b", "passed"],
    ],
  );
});

test("a program that ended before its tests has no results", () => {
  assert.deepEqual(parseGoTests("s", "panic: no kubeconfig\n"), []);
});
