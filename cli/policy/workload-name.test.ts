import assert from "node:assert/strict";
import { test } from "node:test";
import { workloadOf } from "./workload-name.ts";

test("a pod is named for what made it, as far as its labels tell", () => {
  const cases: readonly (readonly [
    name: string,
    labels: Record<string, string>,
    expected: string,
  ])[] = [
    ["web-6d4b75cb6d-x2x7k", { "pod-template-hash": "6d4b75cb6d" }, "web"],
    ["report-28412345-abcde", { "batch.kubernetes.io/job-name": "report-28412345" }, "report"],
    ["once-abcde", { "job-name": "once" }, "once"],
    [
      "db-0",
      { "statefulset.kubernetes.io/pod-name": "db-0", "controller-revision-hash": "db-1" },
      "db",
    ],
    ["agent-x2x7k", { "controller-revision-hash": "76bc9" }, "agent"],
    ["bare-1", {}, "bare-1"],
  ];
  for (const [name, labels, expected] of cases) {
    const pod = { namespace: "shop", name, labels, nodeName: "", serviceAccount: "" };
    assert.equal(workloadOf(pod), `shop/${expected}`);
  }
});
