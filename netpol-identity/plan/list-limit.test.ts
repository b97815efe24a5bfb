import assert from "node:assert/strict";
import { test } from "node:test";
import { chainsBeyond, type ListUse } from "./list-limit.ts";

const use = (chain: string, own: number, ...shared: readonly string[]) => ({
  chain,
  own,
  shared: new Set(shared),
  rules: 10,
});
const beyond = (uses: readonly ListUse[], lists: number): readonly string[] =>
  [...chainsBeyond(uses, { lists, rules: 100 })].sort();

test("what fits stays, and lists that several look into count once", () => {
  const uses = [use("a", 2, "x", "y"), use("b", 1, "x", "y")];
  assert.deepEqual(beyond(uses, 11), []);
  assert.deepEqual(beyond(uses, 10), ["a"]);
});

test("those that take most are closed, and no more than it needs", () => {
  const uses = [use("a", 10), use("b", 3_000), use("c", 20), use("d", 2_000)];
  assert.deepEqual(beyond(uses, 12_000), ["b"]);
  assert.deepEqual(beyond(uses, 3_000), ["b", "d"]);
  assert.deepEqual(beyond(uses, 0), ["a", "b", "c", "d"]);
});

test("one with too many rules is closed, however few lists there are", () => {
  assert.deepEqual(beyond([{ ...use("a", 1), rules: 101 }, use("b", 1)], 100), ["a"]);
});
