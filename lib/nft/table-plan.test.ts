import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeKernel } from "./fake-kernel.ts";
import type { Rule, SetSpec } from "./objects.ts";
import { type TablePlan, tableDifference, tableRemoval, wholeTable } from "./table-plan.ts";

const VERDICTS: SetSpec = { name: "v", key: ["daddr"], data: "verdict" };
const DROP: Rule = [{ kind: "verdict", verdict: { kind: "drop" } }];
const COUNTED: Rule = [{ kind: "count", counter: "dropped" }, ...DROP];

function plan(elements: Readonly<Record<string, string>>, chains: Record<string, Rule>): TablePlan {
  return {
    family: "ip",
    table: "t",
    comment: "a test",
    counters: ["dropped"],
    sets: [
      {
        spec: VERDICTS,
        family: "ip",
        elements: new Map(Object.entries(elements).map(([key, data]) => [key, { key, data }])),
      },
    ],
    chains: Object.entries(chains).map(([name, rule]) => ({
      spec: { name },
      rules: [{ family: "ip", rule }],
    })),
  };
}

const FIRST = plan({ "10.0.0.1": "goto a" }, { a: DROP, b: DROP });
const SECOND = plan({ "10.0.0.1": "goto c", "10.0.0.2": "drop" }, { a: COUNTED, c: DROP });

test("a difference brings a table from one plan to the next", async () => {
  const [one, other] = [makeFakeKernel(), makeFakeKernel()];
  await one.commit(wholeTable(FIRST));
  const difference = tableDifference(FIRST, SECOND);
  assert(difference !== undefined);
  await one.commit(difference.transactions);
  assert.deepEqual(difference.staleChains, ["b"]);
  const changes = [{ kind: "delete-chain", chain: "b" }] as const;
  await one.commit([{ family: "ip", table: "t", changes }]);
  await other.commit(wholeTable(SECOND));
  assert.deepEqual(await one.digest("ip", "t"), await other.digest("ip", "t"));
  assert.deepEqual([...(await one.readCounters("ip", "t")).keys()], ["dropped"]);
});

test("equal plans differ in nothing", () => {
  assert.deepEqual(tableDifference(FIRST, FIRST), { transactions: [], staleChains: [] });
});

test("a set of another kind, or one less, takes a new table", () => {
  const [set] = FIRST.sets;
  assert(set !== undefined);
  const other = { ...set, spec: { ...VERDICTS, key: ["saddr"] } } as const;
  assert.equal(tableDifference(FIRST, { ...FIRST, sets: [other] }), undefined);
  assert.equal(tableDifference(FIRST, { ...FIRST, sets: [] }), undefined);
});

test("the whole table takes the place of whatever there is, and removal works twice", async () => {
  const kernel = makeFakeKernel();
  await kernel.commit(wholeTable(FIRST));
  await kernel.commit(wholeTable(SECOND));
  assert.deepEqual([...((await kernel.read("ip", "t"))?.chains.keys() ?? [])], ["a", "c"]);
  for (let i = 0; i < 2; i++) await kernel.commit(tableRemoval(FIRST));
  assert.equal(await kernel.read("ip", "t"), undefined);
});
