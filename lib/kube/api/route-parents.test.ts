// Claims about a list that several controllers write to, each its own part.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Condition, MAX_CONDITIONS, MAX_MESSAGE_LENGTH } from "./condition.ts";
import { asList, asRecord } from "./fields.ts";
import { MAX_PARENTS, mergeParents, type ParentStatus } from "./route-parents.ts";

const OURS = "innermesh.io/gateway";
const THEIRS = "example.com/gateway";
const BEFORE = "2026-01-01T00:00:00Z";
const by = { controllerName: OURS, now: "2026-02-02T00:00:00Z" };

function service(name: string, port?: number) {
  return { group: "", kind: "Service", name, ...(port === undefined ? {} : { port }) };
}

function accepted(status: "True" | "False", observedGeneration = 1): Condition {
  return { type: "Accepted", status, reason: "Accepted", message: "", observedGeneration };
}

function wants(name: string, ...conditions: readonly Condition[]): ParentStatus {
  return { parentRef: service(name), conditions };
}

function entry(controllerName: string, name: string, conditions: readonly unknown[] = []) {
  return { parentRef: service(name), controllerName, conditions };
}

test("a route without a status gets an entry for each parent", () => {
  const merged = mergeParents(undefined, [wants("a", accepted("True")), wants("b")], by);
  assert.deepEqual(merged, [
    entry(OURS, "a", [{ ...accepted("True"), lastTransitionTime: by.now }]),
    entry(OURS, "b"),
  ]);
});

test("entries of other controllers stay as they are and where they are", () => {
  const foreign = { controllerName: THEIRS, parentRef: service("a"), conditions: [7], extra: {} };
  const current = [foreign, entry(OURS, "a"), "nonsense", entry(THEIRS, "z")];
  const merged = mergeParents(current, [wants("b"), wants("a")], by);
  assert.deepEqual(merged, [
    foreign,
    entry(OURS, "a"),
    "nonsense",
    entry(THEIRS, "z"),
    entry(OURS, "b"),
  ]);
});

test("our entry goes with the parentRef that it is for, and a second one for the same goes too", () => {
  const current = [entry(OURS, "a"), entry(OURS, "b"), entry(OURS, "b"), entry(THEIRS, "a")];
  assert.deepEqual(mergeParents(current, [wants("b")], by), [entry(OURS, "b"), entry(THEIRS, "a")]);
  assert.deepEqual(mergeParents(current, [], by), [entry(THEIRS, "a")]);
});

test("two ports of one Service are two parents", () => {
  const wanted = [80, 81].map((port) => ({ parentRef: service("a", port), conditions: [] }));
  assert.equal(mergeParents([entry(OURS, "a")], wanted, by).length, 2);
});

test("a reference with its defaults written out is the same parent", () => {
  const parentRef = { group: "gateway.networking.k8s.io", kind: "Gateway", name: "g" };
  const condition = { ...accepted("True"), lastTransitionTime: BEFORE };
  const current = [{ parentRef, controllerName: OURS, conditions: [condition] }];
  const wanted = [{ parentRef: { name: "g" }, conditions: [accepted("True")] }];
  const [merged] = mergeParents(current, wanted, by);
  assert.deepEqual(asRecord(merged)["conditions"], [condition]);
});

test("a condition keeps the time of its transition until its status changes", () => {
  const current = [entry(OURS, "a", [{ ...accepted("True"), lastTransitionTime: BEFORE }])];
  const times = [accepted("True"), accepted("True", 2), accepted("False", 2)].map((condition) => {
    const [merged] = mergeParents(current, [wants("a", condition)], by);
    const [first] = asList(asRecord(merged)["conditions"]).map(asRecord);
    return [first?.["lastTransitionTime"], first?.["observedGeneration"]];
  });
  assert.deepEqual(times, [
    [BEFORE, 1],
    [BEFORE, 2],
    [by.now, 2],
  ]);
});

test("conditions of other types stay in our entry, and ours that no longer hold go", () => {
  const foreign = { type: "example.com/Audited", status: "True" };
  const partial = { type: "PartiallyInvalid", status: "True" };
  const current = [entry(OURS, "a", [partial, foreign])];
  const [merged] = mergeParents(current, [wants("a", accepted("True"))], by);
  assert.deepEqual(asRecord(merged)["conditions"], [
    foreign,
    { ...accepted("True"), lastTransitionTime: by.now },
  ]);
});

test("no list grows beyond what the API takes, and ours is among its conditions", () => {
  const conditions = Array.from({ length: 20 }, (_, i) => ({ type: `t${i}`, status: "True" }));
  const current = [entry(OURS, "a", conditions)];
  const long = { ...accepted("True"), message: "x".repeat(100_000) };
  const [merged] = mergeParents(current, [wants("a", long)], by);
  const list = asList(asRecord(merged)["conditions"]).map(asRecord);
  assert.equal(list.length, MAX_CONDITIONS);
  assert.equal(String(list.at(-1)?.["message"]).length, MAX_MESSAGE_LENGTH);
  const many = Array.from({ length: 100 }, (_, i) => wants(`s${i}`));
  const parents = mergeParents([entry(THEIRS, "z")], many, by);
  assert.equal(parents.length, MAX_PARENTS);
  assert.deepEqual(parents[0], entry(THEIRS, "z"));
});

test("whatever is there, a second look changes nothing and others' entries are kept", () => {
  const controllerName = fc.constantFrom(OURS, THEIRS);
  const parentRef = fc.constantFrom(service("a"), service("b"), service("a", 80), { name: 7 });
  const type = fc.constantFrom("Accepted", "ResolvedRefs", "PartiallyInvalid", "Other");
  const condition = fc.oneof(fc.jsonValue(), fc.record({ type, status: fc.constant("True") }));
  const conditions = fc.oneof(fc.jsonValue(), fc.array(condition));
  const parent = fc.oneof(fc.jsonValue(), fc.record({ controllerName, parentRef, conditions }));
  const current = fc.oneof(fc.jsonValue(), fc.array(parent, { maxLength: 6 }));
  const wanted = [wants("a", accepted("True")), wants("b", accepted("False"))];
  fc.assert(
    fc.property(current, (value) => {
      const once = mergeParents(value, wanted, by);
      assert.deepEqual(mergeParents(once, wanted, { ...by, now: "later" }), once);
      const foreign = (list: unknown) =>
        asList(list).filter((item) => asRecord(item)["controllerName"] !== OURS);
      assert.deepEqual(foreign(once), foreign(value));
    }),
  );
});
