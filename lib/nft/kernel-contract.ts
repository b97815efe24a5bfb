// What every `NftKernel` promises, as tests: the real doors run it in `test/netns`, the fake beside
// its code. Each test makes its own table and removes it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Change, Element, Family, NftKernel, Rule, SetSpec, Transaction } from "./objects.ts";
import { NftError } from "./objects.ts";
import { sampleRuleset, sampleSets, withoutRemember } from "./sample-ruleset.ts";

const TABLE = "im-contract";
const REJECT: Rule = [{ kind: "reject" }];
const DROP: Rule = [{ kind: "verdict", verdict: { kind: "drop" } }];
const { setVerdicts, clusterIps, localPods, sourceRanges } = sampleSets;

/** Registers the suite. `makeKernel` is called once; the kernel is closed at the end. */
export function kernelContract(name: string, makeKernel: () => Promise<NftKernel>): void {
  describe(`${name} keeps the contract of NftKernel`, () => {
    let kernel: NftKernel;
    before(async () => {
      kernel = await makeKernel();
    });
    after(async () => {
      await kernel.close();
    });
    for (const family of ["ip", "ip6"] as const) {
      describe(family, () => contractFor(() => kernel, family));
    }
    contractAcrossFamilies(() => kernel);
  });
}

function contractFor(kernel: () => NftKernel, family: Family): void {
  const vip = family === "ip" ? "10.96.0.10" : "fd96::10";
  const other = family === "ip" ? "10.96.0.11" : "fd96::11";
  const prefix = family === "ip" ? "10.71.1.0/24" : "fd71:1::/64";
  const neighbour = family === "ip" ? "10.71.2.0/24" : "fd71:1:0:1::/64";
  const commit = (...changes: Change[]): Promise<void> =>
    kernel().commit([{ family, table: TABLE, changes }]);
  const sets = async (): Promise<Record<string, Element[]>> => {
    const contents = await kernel().read(family, TABLE);
    assert(contents !== undefined, "the table exists");
    return Object.fromEntries([...contents.sets].map(([set, map]) => [set, sorted(map.values())]));
  };
  /** Runs `body` on a table with a chain `c`, a verdict map, a set and two interval sets. */
  const rule = (claim: string, body: () => Promise<void>): void => {
    test(claim, async () => {
      await commit(
        { kind: "add-table" },
        { kind: "delete-table" },
        { kind: "add-table" },
        { kind: "add-chain", chain: { name: "c" } },
        ...[setVerdicts, clusterIps, localPods, sourceRanges].map(
          (set): Change => ({ kind: "add-set", set }),
        ),
      );
      try {
        await body();
      } finally {
        await commit({ kind: "add-table" }, { kind: "delete-table" });
      }
    });
  };

  test("a table that does not exist reads as undefined, its rules as none", async () => {
    assert.equal(await kernel().read(family, "im-nowhere"), undefined);
    assert.equal((await kernel().readRules(family, "im-nowhere")).size, 0);
  });

  test("everything that is written is read back, but dynamic maps without elements", async () => {
    const whole = withoutRemember(sampleRuleset(family, TABLE));
    await kernel().commit([whole]);
    const contents = await kernel().read(family, TABLE);
    assert(contents !== undefined);
    assert.deepEqual(contents.sets, expectedSets(whole));
    const counts = new Map([...contents.chains].map(([chain, rules]) => [chain, rules.length]));
    assert.deepEqual(counts, expectedCounts(whole));
    assert.deepEqual(await kernel().readRules(family, TABLE), contents.chains);
    await commit({ kind: "delete-table" });
    assert.equal(await kernel().read(family, TABLE), undefined);
  });

  test("a table made again from nothing has the same rule texts", async () => {
    const whole = withoutRemember(sampleRuleset(family, TABLE));
    await kernel().commit([whole]);
    const first = await kernel().readRules(family, TABLE);
    const again = { ...whole, changes: [{ kind: "delete-table" } as const, ...whole.changes] };
    await kernel().commit([again]);
    assert.deepEqual(await kernel().readRules(family, TABLE), first);
    await commit({ kind: "delete-table" });
  });

  rule("different rules have different texts, equal rules equal ones", async () => {
    await commit(...[REJECT, DROP, REJECT].map((r): Change => addRule("c", r)));
    const [first, second, third] = (await kernel().readRules(family, TABLE)).get("c") ?? [];
    assert.equal(first, third);
    assert.notEqual(first, second);
  });

  rule("elements carry verdicts and comments", async () => {
    const elements = [
      { key: "0:1", data: "goto c", comment: "default/web:http" },
      { key: "0:2", data: "jump c" },
      { key: "8001:ffff", data: "drop", comment: "x".repeat(127) },
    ];
    await commit(addElements(setVerdicts, ...elements));
    assert.deepEqual((await sets())[setVerdicts.name], elements);
  });

  rule("prefixes are read back as written, also side by side", async () => {
    const elements = [{ key: prefix, comment: "pods" }, { key: neighbour }];
    await commit(addElements(localPods, ...elements));
    const ranges = [{ key: `0:18 . ${prefix}` }, { key: `0:19 . ${prefix}`, comment: "office" }];
    await commit(addElements(sourceRanges, ...ranges));
    assert.deepEqual((await sets())[localPods.name], sorted(elements));
    assert.deepEqual((await sets())[sourceRanges.name], sorted(ranges));
  });

  rule("deleted elements are gone, the others stay", async () => {
    await commit(
      addElements(clusterIps, { key: vip }, { key: other }),
      addElements(localPods, { key: prefix }, { key: neighbour }),
      addElements(sourceRanges, { key: `0:18 . ${prefix}` }, { key: `0:18 . ${neighbour}` }),
    );
    await commit(
      { kind: "delete-elements", set: clusterIps, keys: [vip] },
      { kind: "delete-elements", set: localPods, keys: [prefix] },
      { kind: "delete-elements", set: sourceRanges, keys: [`0:18 . ${neighbour}`] },
    );
    assert.deepEqual((await sets())[clusterIps.name], [{ key: other }]);
    assert.deepEqual((await sets())[localPods.name], [{ key: neighbour }]);
    assert.deepEqual((await sets())[sourceRanges.name], [{ key: `0:18 . ${prefix}` }]);
  });

  rule("an element is replaced by deleting and adding it in one batch", async () => {
    await commit(addElements(setVerdicts, { key: "0:1", data: "goto c", comment: "old" }));
    await commit(
      { kind: "delete-elements", set: setVerdicts, keys: ["0:1"] },
      addElements(setVerdicts, { key: "0:1", data: "drop", comment: "new" }),
    );
    const expected = [{ key: "0:1", data: "drop", comment: "new" }];
    assert.deepEqual((await sets())[setVerdicts.name], expected);
  });

  rule("adding what exists changes nothing, not even its comment", async () => {
    await commit(addElements(setVerdicts, { key: "0:1", data: "drop", comment: "first" }));
    await commit(
      { kind: "add-table" },
      { kind: "add-set", set: setVerdicts },
      { kind: "add-chain", chain: { name: "c" } },
      addElements(setVerdicts, { key: "0:1", data: "drop", comment: "second" }),
    );
    const expected = [{ key: "0:1", data: "drop", comment: "first" }];
    assert.deepEqual((await sets())[setVerdicts.name], expected);
  });

  rule("more elements than one message holds arrive", async () => {
    const elements = Array.from({ length: 2_000 }, (_, i) => ({
      key: `0:${(i + 1).toString(16)}`,
      data: "drop",
      comment: `namespace/a-service-with-a-long-name-${i}:port`,
    }));
    await commit(addElements(setVerdicts, ...elements));
    assert.deepEqual((await sets())[setVerdicts.name], sorted(elements));
    const keys = elements.map(({ key }) => key);
    await commit({ kind: "delete-elements", set: setVerdicts, keys });
    assert.deepEqual((await sets())[setVerdicts.name], []);
  });

  rule("flushing a chain removes its rules and keeps the chain", async () => {
    await commit(addRule("c", DROP), addRule("c", REJECT));
    await commit({ kind: "flush-chain", chain: "c" }, addRule("c", REJECT));
    assert.equal((await kernel().readRules(family, TABLE)).get("c")?.length, 1);
    await commit({ kind: "flush-chain", chain: "c" }, { kind: "delete-chain", chain: "c" });
    assert.equal((await kernel().readRules(family, TABLE)).get("c"), undefined);
  });

  refusals(rule, commit);
}

function refusals(
  rule: (claim: string, body: () => Promise<void>) => void,
  commit: (...changes: Change[]) => Promise<void>,
): void {
  const refuses = (claim: string, code: string, given: Change[], change: Change): void => {
    rule(`${claim} fails with ${code}`, async () => {
      await commit(...given);
      await assert.rejects(commit(change), hasCode(code));
    });
  };
  const jump = addElements(setVerdicts, { key: "0:1", data: "jump c" });
  const inSet: Rule = [
    { kind: "in-set", key: [{ kind: "field", field: "daddr" }], set: clusterIps.name },
  ];
  const noSet: Rule = [{ kind: "in-set", key: [{ kind: "field", field: "daddr" }], set: "none" }];
  const noChain: Rule = [{ kind: "verdict", verdict: { kind: "goto", chain: "none" } }];
  refuses(
    "an element for a set that does not exist",
    "ENOENT",
    [{ kind: "delete-set", set: setVerdicts.name }],
    addElements(setVerdicts, { key: "0:1", data: "drop" }),
  );
  refuses(
    "a verdict to a chain that does not exist",
    "ENOENT",
    [],
    addElements(setVerdicts, { key: "0:1", data: "goto none" }),
  );
  refuses("deleting an element that does not exist", "ENOENT", [], {
    kind: "delete-elements",
    set: setVerdicts,
    keys: ["0:1"],
  });
  refuses("deleting a set that does not exist", "ENOENT", [], { kind: "delete-set", set: "none" });
  refuses("deleting a chain that does not exist", "ENOENT", [], {
    kind: "delete-chain",
    chain: "none",
  });
  refuses("a rule in a chain that does not exist", "ENOENT", [], addRule("none", DROP));
  refuses("a rule with a set that does not exist", "ENOENT", [], addRule("c", noSet));
  refuses("a rule to a chain that does not exist", "ENOENT", [], addRule("c", noChain));
  refuses(
    "an element with other data than the one there",
    "EEXIST",
    [jump],
    addElements(setVerdicts, { key: "0:1", data: "drop" }),
  );
  refuses("deleting a chain that an element leads to", "EBUSY", [jump], {
    kind: "delete-chain",
    chain: "c",
  });
  refuses("deleting a set that a rule looks in", "EBUSY", [addRule("c", inSet)], {
    kind: "delete-set",
    set: clusterIps.name,
  });

  rule("a refusal names the change and the kernel's error", async () => {
    const bad = addElements(setVerdicts, { key: "0:7", data: "goto none" });
    await assert.rejects(commit(bad), (error: unknown) => {
      assert(error instanceof NftError);
      assert.match(error.message, /^Cannot .*ENOENT/s);
      assert.match(error.message, /goto none/);
      return true;
    });
  });
}

function contractAcrossFamilies(kernel: () => NftKernel): void {
  const tables = (...changes: Change[]): Transaction[] =>
    (["ip", "ip6"] as const).map((family) => ({ family, table: TABLE, changes }));
  const remove = (): Promise<void> =>
    kernel().commit(tables({ kind: "add-table" }, { kind: "delete-table" }));

  test("a bad last change leaves both tables and the generation as they were", async () => {
    const whole = (["ip", "ip6"] as const).map((family) =>
      withoutRemember(sampleRuleset(family, TABLE)),
    );
    await kernel().commit(whole);
    const before = [await kernel().read("ip", TABLE), await kernel().read("ip6", TABLE)];
    const generation = await kernel().generation();
    const bad = tables(
      { kind: "delete-table" },
      { kind: "add-table" },
      { kind: "add-chain", chain: { name: "new" } },
    );
    const last: Transaction = { family: "ip6", table: TABLE, changes: [addRule("none", DROP)] };
    await assert.rejects(kernel().commit([...bad, last]), hasCode("ENOENT"));
    assert.deepEqual([await kernel().read("ip", TABLE), await kernel().read("ip6", TABLE)], before);
    assert.equal(await kernel().generation(), generation);
    await remove();
  });

  test("a table is replaced in one batch", async () => {
    await kernel().commit(
      tables({ kind: "add-table" }, { kind: "add-chain", chain: { name: "a" } }),
    );
    await kernel().commit(
      tables(
        { kind: "add-table" },
        { kind: "delete-table" },
        { kind: "add-table" },
        { kind: "add-chain", chain: { name: "b" } },
      ),
    );
    for (const family of ["ip", "ip6"] as const) {
      assert.deepEqual([...(await kernel().readRules(family, TABLE)).keys()], ["b"]);
    }
    await remove();
  });

  test("the generation grows by one with each commit", async () => {
    const generation = await kernel().generation();
    await kernel().commit(tables({ kind: "add-table" }));
    assert.equal(await kernel().generation(), generation + 1);
    await kernel().commit(tables({ kind: "delete-table" }));
    assert.equal(await kernel().generation(), generation + 2);
  });

  test("commits asked for at once are applied in order", async () => {
    const chains = ["a", "b", "c"];
    await Promise.all([
      kernel().commit(tables({ kind: "add-table" })),
      ...chains.map((name) => kernel().commit(tables({ kind: "add-chain", chain: { name } }))),
    ]);
    assert.deepEqual([...(await kernel().readRules("ip", TABLE)).keys()], chains);
    await remove();
  });

  test("no transactions are no change", async () => {
    await kernel().commit([]);
  });
}

function addRule(chain: string, rule: Rule): Change {
  return { kind: "add-rule", chain, rule };
}

function addElements(set: SetSpec, ...elements: readonly Element[]): Change {
  return { kind: "add-elements", set, elements };
}

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => {
    assert(error instanceof NftError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}

function sorted(elements: Iterable<Element>): Element[] {
  return [...elements].sort((a, b) => (a.key < b.key ? -1 : 1));
}

function expectedSets(transaction: Transaction): Map<string, Map<string, Element>> {
  const sets = new Map<string, Map<string, Element>>();
  for (const change of transaction.changes) {
    if (change.kind === "add-set") sets.set(change.set.name, new Map());
    if (change.kind !== "add-elements") continue;
    for (const element of change.elements) sets.get(change.set.name)?.set(element.key, element);
  }
  return sets;
}

function expectedCounts(transaction: Transaction): Map<string, number> {
  const counts = new Map<string, number>();
  for (const change of transaction.changes) {
    if (change.kind === "add-chain") counts.set(change.chain.name, 0);
    if (change.kind === "add-rule") {
      counts.set(change.chain, (counts.get(change.chain) ?? 0) + 1);
    }
  }
  return counts;
}
