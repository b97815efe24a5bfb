import assert from "node:assert/strict";
import { test } from "node:test";
import type { CaseResult, Outcome } from "../conformance/case-result.ts";
import { type ConformanceRecord, formatConformance } from "./conformance-document.ts";

const PASSED: Outcome = { kind: "passed" };
const SKIPPED: Outcome = { kind: "skipped", why: "no SCTP" };

const page = formatConformance({
  netpol: record("v1", [
    result("pods: should talk", PASSED),
    result("pods: should not", { kind: "failed", why: "wanted a|b", earlier: [] }),
  ]),
  cnp: record(
    "v2",
    [
      result("TCP/allow", PASSED),
      result("TCP/deny", PASSED),
      result("Mixed/allow", PASSED),
      result("Mixed/deny", SKIPPED),
      result("Mixed/pass", { kind: "failed", why: "REFUSED", earlier: [] }),
      result("SCTP", SKIPPED),
    ],
    "kind: ClusterReport\n",
  ),
  gatewayApi: record(
    "v3",
    [
      result("MeshBasic", PASSED),
      result("MeshPorts", { kind: "failed", why: "late", earlier: [] }),
      result("GatewayX", { kind: "skipped", why: "suite does not support Gateway" }),
      result("MeshNew", { kind: "skipped", why: "suite does not support MeshNews" }),
    ],
    "kind: ConformanceReport\n",
  ),
});

test("the page begins with the counts of all suites", () => {
  assert.match(page, /^\| \[NetworkPolicy\].* \| 1 \| 1 \| 0 \| 2 \|$/m);
  assert.match(page, /^\| \[ClusterNetworkPolicy\].* \| 3 \| 1 \| 2 \| 2 \|$/m);
  assert.match(page, /^\| \[Gateway API\].* \| 1 \| 1 \| 1 \| 2 \|$/m);
});

test("it says of each suite its version, and when and on what it ran", () => {
  for (const version of ["v1", "v2", "v3"]) {
    const line = `${version}.*,\\nrun 2026-11-21 with Kubernetes v9 on Linux 6\\.18\\.$`;
    assert.match(page, new RegExp(line, "m"));
  }
});

test("it names every test, every failure's reason, and the untouched reports", () => {
  assert.match(page, /^\| pods: should not \| failed: wanted a\\\|b \|$/m);
  assert.match(page, /^\| MeshBasic \| yes \| passed \|$/m);
  assert.match(page, /^\| MeshPorts \| no \| failed: late \|$/m);
  assert.match(page, /^\| MeshNew \| yes \| skipped: suite does not support MeshNews \|$/m);
  assert.match(page, /^1 of 3 tests pass\..*\n1, are about Gateways\.$/m);
  assert.doesNotMatch(page, /GatewayX/);
  assert.match(page, /^```yaml\nkind: ConformanceReport\n```$/m);
  assert.match(page, /^```yaml\nkind: ClusterReport\n```$/m);
});

test("parts of a test are one row, with what is worst among them", () => {
  assert.match(page, /^\| TCP \| 2 \| 0 \| passed \|$/m);
  assert.match(page, /^\| Mixed \| 1 \| 1 \| failed: REFUSED \|$/m);
  assert.match(page, /^\| SCTP \| 0 \| 1 \| skipped: no SCTP \|$/m);
});

function record(version: string, cases: readonly CaseResult[], report?: string): ConformanceRecord {
  const startedAt = "2026-11-21T20:00:00.000Z";
  const ran = { suite: "s", startedAt, tookMs: 61_000, nodes: [], cases };
  return { result: ran, report, version, kubernetes: "v9", kernel: "6.18.4-own" };
}

function result(id: string, outcome: Outcome): CaseResult {
  return {
    suite: "s",
    id,
    name: id,
    family: "ip",
    outcome,
    tookMs: 0,
    observations: [],
    leftovers: [],
  };
}
