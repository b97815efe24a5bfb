import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGinkgoReport } from "./ginkgo-report.ts";

const CONTAINERS = ["[group] Things [OneKernel]", "Thing between two"];

test("specs that ran are results by name, with their reason and their time", () => {
  const results = parse(
    spec("should work [Feature:A]", "passed"),
    spec("should fail", "failed", "Had 2\n\twrong results"),
    spec("should end", "timedout"),
  );
  assert.deepEqual(
    results.map(({ id, outcome, tookMs }) => [id, outcome, tookMs]),
    [
      ["Thing between two: should end", { kind: "failed", why: "timedout", earlier: [] }, 1500],
      [
        "Thing between two: should fail",
        { kind: "failed", why: "Had 2 wrong results", earlier: [] },
        1500,
      ],
      ["Thing between two: should work", { kind: "passed" }, 1500],
    ],
  );
});

test("specs that skipped themselves say why, and those not selected are no results", () => {
  const results = parse(
    spec("should wait", "skipped", "only for two nodes"),
    spec("should not be asked", "skipped"),
  );
  assert.deepEqual(
    results.map(({ outcome }) => outcome),
    [{ kind: "skipped", why: "only for two nodes" }],
  );
});

test("a step around specs is a result only when it failed", () => {
  const step = { ContainerHierarchyTexts: null, LeafNodeText: "", LeafNodeType: "BeforeSuite" };
  const failed = { ...step, State: "failed", RunTime: 0, Failure: { Message: "no cluster" } };
  const results = parse({ ...step, State: "passed", RunTime: 0 }, failed);
  assert.deepEqual(
    results.map(({ id, outcome }) => [id, outcome.kind]),
    [["BeforeSuite", "failed"]],
  );
});

function spec(text: string, state: string, message?: string): object {
  return {
    ContainerHierarchyTexts: CONTAINERS,
    LeafNodeType: "It",
    LeafNodeText: text,
    State: state,
    RunTime: 1.5e9,
    ...(message !== undefined && { Failure: { Message: message } }),
  };
}

function parse(...specs: readonly object[]): ReturnType<typeof parseGinkgoReport> {
  return parseGinkgoReport("s", JSON.stringify([{ SpecReports: specs }]));
}
