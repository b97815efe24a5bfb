import assert from "node:assert/strict";
import { test } from "node:test";
import type { Change, Transaction } from "./objects.ts";
import { sampleSets } from "./sample-ruleset.ts";
import { SetRegistry, tablesToLearn } from "./set-registry.ts";

const numberLookup: Change = {
  kind: "add-rule",
  chain: "c",
  rule: [{ kind: "in-set", key: [{ kind: "field", field: "meta priority" }], set: "lb-allow" }],
};
const addressLookup: Change = {
  kind: "add-rule",
  chain: "c",
  rule: [{ kind: "in-set", key: [{ kind: "field", field: "saddr" }], set: "lb-allow" }],
};

function tables(registry: SetRegistry, ...changes: Change[]): number {
  const transaction: Transaction = { family: "ip", table: "t", changes };
  return tablesToLearn(registry, [transaction]).length;
}

test("a rule that looks up a number in an unknown set needs the kernel to be asked", () => {
  assert.equal(tables(new SetRegistry(), numberLookup), 1);
});

test("nothing is asked about addresses, which are in network order everywhere", () => {
  assert.equal(tables(new SetRegistry(), addressLookup), 0);
});

test("nothing is asked about sets that the batch makes or that are known", () => {
  const make: Change = { kind: "add-set", set: sampleSets.sourceRanges };
  assert.equal(tables(new SetRegistry(), make, numberLookup), 0);
  const known = new SetRegistry();
  known.remember("ip", "t", "lb-allow", true);
  assert.equal(tables(known, numberLookup), 0);
});

test("sets of the same name differ by family and table; copies do not share", () => {
  const registry = new SetRegistry();
  registry.remember("ip", "t", "s", true);
  assert.equal(registry.isInterval("ip6", "t", "s"), undefined);
  assert.equal(registry.isInterval("ip", "u", "s"), undefined);
  const copy = new SetRegistry(registry);
  copy.remember("ip", "t", "s", false);
  assert.equal(registry.isInterval("ip", "t", "s"), true);
});
