// Every check, turned red. One test sees that no check is left out.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { GATEWAY_RELEASE } from "./access.ts";
import { CHECKS, type CheckReport, exitCodeOf, judge } from "./checks.ts";
import { type Facts, known, unknown } from "./facts.ts";
import { IDENTITY_RED_CASES } from "./identity-red-cases.ts";
import { LANE_RED_CASES } from "./lane-red-cases.ts";
import { POLICY_RED_CASES } from "./policy-red-cases.ts";
import { cluster, flags, GREEN, host, kernel, objects, problem, RED_CASES } from "./red-cases.ts";

const ALL_CASES = [...RED_CASES, ...LANE_RED_CASES, ...IDENTITY_RED_CASES, ...POLICY_RED_CASES];

function resultOf(report: CheckReport, id: string): CheckReport["results"][number] {
  return report.results.find((result) => result.id === id) ?? assert.fail(`no check ${id}`);
}

describe("checks", () => {
  for (const { id, when: story, facts, status, says } of ALL_CASES) {
    test(`${id} says ${status} when ${story}`, () => {
      const result = resultOf(judge(facts), id);
      assert.equal(result.status, status, result.message);
      if (says !== undefined) assert.match(result.message, says);
      assert.equal(result.hint === undefined, status === "ok" || status === "skip");
    });
  }
  test("a healthy node is green in every check", () => {
    const red = judge(GREEN).results.filter(({ status }) => status !== "ok");
    assert.deepEqual(red, []);
    assert.equal(exitCodeOf(GREEN, judge(GREEN)), 0);
  });
  test("a healthy node whose pods have identities is green, too", () => {
    const { results } = judge(flags("--identity=off", "--network-policy=enforce"));
    assert.deepEqual(
      results.filter(({ status }) => status !== "ok"),
      [],
    );
    assert.equal(results.length, CHECKS.length);
  });
  test("where identities are off, one line says so", () => {
    const lines = judge(GREEN).results.filter(({ category }) => category === "identity");
    assert.deepEqual(
      lines.map(({ id, message }) => [id, message]),
      [["identity.agent", "identities are off"]],
    );
  });
  test("every check has a case that turns it as red as it can be", () => {
    const proven = new Set(ALL_CASES.map(({ id, status }) => `${id} ${status}`));
    const unproven = CHECKS.filter(({ id, worst }) => !proven.has(`${id} ${worst}`));
    assert.deepEqual(
      unproven.map(({ id }) => id),
      [],
    );
  });
  test("no check says worse than it declares, and ids are unique", () => {
    const worst = new Map(CHECKS.map((check) => [check.id, check.worst]));
    assert.equal(worst.size, CHECKS.length);
    for (const { id, status } of ALL_CASES)
      assert(status !== "fail" || worst.get(id) === "fail", id);
  });
  test("what could not be asked is skipped with the reason, or is itself the failure", () => {
    const blind = kernel({ refused: unknown("no answer"), capabilities: unknown("no answer") });
    assert.deepEqual(
      judge(blind).results.filter(({ status }) => status !== "ok"),
      [
        { id: "kernel.ruleset", category: "kernel", status: "skip", message: "no answer" },
        {
          id: "privileges.net-admin",
          category: "privileges",
          status: "skip",
          message: "no answer",
        },
      ],
    );
  });
  test("the Gateway API's release is the one whose suite judges us", async () => {
    const module = join(import.meta.dirname, "../../conformance/upstream/gateway-api/go.mod");
    const text = await readFile(module, "utf8");
    const pinned = /sigs\.k8s\.io\/gateway-api (v\S+)/.exec(text)?.[1];
    assert.equal(GATEWAY_RELEASE.version, pinned);
  });
  test("exit codes: 1 when a check fails, 0 for warnings, 3 when nothing at all can be asked", () => {
    const exitCode = (facts: Facts): number => exitCodeOf(facts, judge(facts));
    assert.equal(exitCode(host({ ipForward: known(false) })), 1);
    assert.equal(exitCode(objects({ problems: [problem] })), 0);
    const noCluster = cluster({ objects: unknown("refused") });
    assert.equal(exitCode(noCluster), 1);
    const nothing = { ...noCluster, kernel: { ...GREEN.kernel, generation: unknown("EPERM") } };
    assert.equal(exitCode(nothing), 3);
  });
});
