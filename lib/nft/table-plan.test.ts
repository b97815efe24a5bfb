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
  assert.deepEqual(difference.staleChains, []);
  await other.commit(wholeTable(SECOND));
  assert.deepEqual(await one.digest("ip", "t"), await other.digest("ip", "t"));
  assert.deepEqual([...(await one.readCounters("ip", "t")).keys()], ["dropped"]);
});

test("equal plans differ in nothing", () => {
  assert.deepEqual(tableDifference(FIRST, FIRST), { transactions: [], staleChains: [] });
});

test("a set of another kind takes a new table", () => {
  const [set] = FIRST.sets;
  assert(set !== undefined);
  const other = { ...set, spec: { ...VERDICTS, key: ["saddr"] } } as const;
  assert.equal(tableDifference(FIRST, { ...FIRST, sets: [other] }), undefined);
});

test("chains that lead to each other and sets that they ask come and go in one batch", async () => {
  const goto = (chain: string): Rule => [{ kind: "verdict", verdict: { kind: "goto", chain } }];
  const asks: Rule = [
    { kind: "in-set", key: [{ kind: "field", field: "saddr" }], set: "g" },
    ...DROP,
  ];
  const bare = plan({ "10.0.0.1": "goto a" }, { a: DROP });
  const more = plan({ "10.0.0.1": "jump c" }, { a: DROP, d: asks, c: goto("d") });
  const group = { spec: { name: "g", key: ["saddr"] }, family: "ip", elements: new Map() } as const;
  const full: TablePlan = { ...more, sets: [...more.sets, group] };
  const kernel = makeFakeKernel();
  await kernel.commit(wholeTable(bare));
  const first = await kernel.digest("ip", "t");
  for (const [from, to] of [
    [bare, full],
    [full, bare],
  ] as const) {
    const difference = tableDifference(from, to);
    assert.deepEqual(difference?.staleChains, []);
    await kernel.commit(difference.transactions);
  }
  assert.deepEqual(await kernel.digest("ip", "t"), first);
});

test("a chain of an interface is left to be deleted by itself", () => {
  const device = { type: "filter", hook: "ingress", priority: 0, device: "veth0" } as const;
  const chain = { spec: { name: "port", base: device }, rules: [] };
  const after = { ...FIRST, layer: "netdev" } as const;
  const before = { ...after, chains: [...FIRST.chains, chain] };
  assert.deepEqual(tableDifference(before, after), { transactions: [], staleChains: ["port"] });
});

test("equal elements by reference are not compared", () => {
  const [set] = FIRST.sets;
  assert(set !== undefined);
  const elements = new Proxy(set.elements, { get: () => assert.fail("looked into") });
  const lazy = { ...FIRST, sets: [{ ...set, elements }] };
  assert.deepEqual(tableDifference(lazy, lazy), { transactions: [], staleChains: [] });
});

test("the whole table takes the place of whatever there is, and removal works twice", async () => {
  const kernel = makeFakeKernel();
  await kernel.commit(wholeTable(FIRST));
  await kernel.commit(wholeTable(SECOND));
  assert.deepEqual([...((await kernel.read("ip", "t"))?.chains.keys() ?? [])], ["a", "c"]);
  for (let i = 0; i < 2; i++) await kernel.commit(tableRemoval(FIRST));
  assert.equal(await kernel.read("ip", "t"), undefined);
});
