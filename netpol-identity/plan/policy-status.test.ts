import assert from "node:assert/strict";
import { test } from "node:test";
import { asList, asRecord, type JsonRecord } from "../../lib/kube/api/fields.ts";
import { formatEnforcement, parseEnforcement } from "../model/enforcement-report.ts";
import {
  judgePolicy,
  type NodeAnswer,
  nextPolicyStatus,
  nextSharedStatus,
} from "./policy-status.ts";

const AT = "2026-01-02T00:00:00Z";
const LATER = "2026-01-03T00:00:00Z";

const holds = (generation: number, ...problems: string[]): NodeAnswer => ({
  kind: "report",
  report: { policies: new Map([["u", generation]]), problems },
});
const silent: NodeAnswer = { kind: "silent", why: "no agent runs there" };
const judge = (answers: Readonly<Record<string, NodeAnswer>>) =>
  judgePolicy({
    uid: "u",
    generation: 2,
    problems: [],
    answers: new Map(Object.entries(answers)),
  });

test("a policy is enforced where every node holds its generation, or a newer one", () => {
  const { enforced, nodes } = judge({ a: holds(2), b: holds(3) });
  assert.deepEqual([enforced.status, enforced.reason], ["True", "OnAllNodes"]);
  assert.deepEqual(nodes, { enforced: 2, total: 2 });
});

test("nodes where it lacks are named with the reason, and only some of them", () => {
  const { enforced, nodes } = judge({ a: holds(2), c: silent, b: holds(1) });
  assert.deepEqual([enforced.status, enforced.reason], ["False", "NotOnAllNodes"]);
  assert.equal(enforced.message, "It lacks on b: still generation 1; c: no agent runs there");
  assert.deepEqual(nodes, { enforced: 1, total: 3 });
  const many = Array.from({ length: 9 }, (_, i) => [`n${i}`, silent] as const);
  const none = judge(Object.fromEntries(many)).enforced;
  assert.equal(none.reason, "OnNoNode");
  assert.match(none.message, /n4: [^;]+; and 4 more$/);
  assert.equal(judge({}).enforced.message, "There is no node");
});

test("a node that closes ports in its place does not enforce it, and says why", () => {
  const held = new Map([["u", 2]]);
  const report = { policies: held, problems: [], closed: new Map([["u", "its ports are closed"]]) };
  const told = parseEnforcement(formatEnforcement(report));
  const { enforced } = judge({ a: holds(2), b: { kind: "report", report: told } });
  assert.deepEqual([enforced.status, enforced.reason], ["False", "NotOnAllNodes"]);
  assert.equal(enforced.message, "It lacks on b: its ports are closed");
});

test("what is wrong with it is told with the field, and what a node cannot do as well", () => {
  const problems = [{ object: "x", field: "spec.action", message: "want Allow" }];
  const answers = new Map([["a", holds(2, "no room in the kernel")]]);
  const verdict = judgePolicy({ uid: "u", generation: 2, problems, answers });
  assert.deepEqual(
    [verdict.accepted.status, verdict.accepted.reason, verdict.accepted.message],
    ["False", "Invalid", "spec.action: want Allow"],
  );
  assert.equal(verdict.lastError, "a: no room in the kernel");
});

test("until the nodes were asked nothing is claimed", () => {
  const verdict = judgePolicy({ uid: "u", generation: 2, problems: [], answers: undefined });
  assert.deepEqual([verdict.enforced.status, verdict.nodes], ["Unknown", undefined]);
});

test("a status is written once, and an error that is over goes", () => {
  const broken = judge({ a: holds(2, "no room") });
  const first = nextPolicyStatus({}, { ...broken, selectedPods: 3 }, AT);
  assert(first !== undefined);
  assert.equal(first["selectedPods"], 3);
  assert.equal(first["lastError"], "a: no room");
  assert.equal(nextPolicyStatus(first, { ...broken, selectedPods: 3 }, LATER), undefined);
  const mended = { ...judge({ a: holds(2) }), selectedPods: 4 };
  assert.deepEqual(nextPolicyStatus(first, mended, LATER), { lastError: null, selectedPods: 4 });
});

test("in a status that others write as well, theirs stays and ours says whose it is", () => {
  const theirs = { type: "Accepted", status: "True", reason: "x", message: "" };
  const status: JsonRecord = { conditions: [theirs] };
  const next = nextSharedStatus(status, judge({ a: holds(2) }), AT);
  const types = asList(next?.["conditions"]).map((one) => asRecord(one)["type"]);
  assert.deepEqual(types, ["Accepted", "innermesh.io/Accepted", "innermesh.io/Enforced"]);
  assert.equal(nextSharedStatus(next ?? {}, judge({ a: holds(2) }), LATER), undefined);
});
