import assert from "node:assert/strict";
import { test } from "node:test";
import type { CaseResult, Outcome } from "../conformance/case-result.ts";
import { formatConformance } from "./conformance-document.ts";

test("the page names every test that ran, every failure's reason, and the untouched report", () => {
  const cases = [
    result("MeshBasic", { kind: "passed" }),
    result("MeshPorts", { kind: "failed", why: "wanted a|b", earlier: [] }),
    result("GatewayX", { kind: "skipped", why: "suite does not support Gateway" }),
    result("MeshNew", { kind: "skipped", why: "suite does not support MeshNews" }),
  ];
  const run = { suite: "gateway-api", startedAt: "", tookMs: 1, nodes: [], cases };
  const machine = { kernel: "6.18.4-own", kubernetes: "v1", gatewayApi: "v2" };
  const page = formatConformance({ result: run, report: "kind: ConformanceReport\n" }, machine);
  assert.match(page, /^1 of 3 tests pass\..*\n1, are about Gateways\.$/m);
  assert.match(page, /on Linux 6\.18\.$/m);
  assert.match(page, /^\| MeshBasic \| yes \| passed \|$/m);
  assert.match(page, /^\| MeshPorts \| no \| failed: wanted a\\\|b \|$/m);
  assert.match(page, /^\| MeshNew \| yes \| skipped: suite does not support MeshNews \|$/m);
  assert.doesNotMatch(page, /GatewayX/);
  assert.match(page, /^```yaml\nkind: ConformanceReport\n```$/m);
});

function result(id: string, outcome: Outcome): CaseResult {
  return {
    suite: "gateway-api",
    id,
    name: id,
    family: "ip",
    outcome,
    tookMs: 0,
    observations: [],
    leftovers: [],
  };
}
