// What every `NftKernel` promises, as tests: the real doors run it in `test/netns`, the fake beside
// its code. Each test makes its own table and removes it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  type Change,
  type Element,
  type Family,
  type Layer,
  NftError,
  type NftKernel,
  type Rule,
  type SetSpec,
  type Transaction,
} from "./objects.ts";
import { sampleRuleset, sampleSets, withoutRemember } from "./sample-ruleset.ts";

const TABLE = "im-contract";
const REJECT: Rule = [{ kind: "reject" }];
const DROP: Rule = [{ kind: "verdict", verdict: { kind: "drop" } }];
const REMOVE: readonly Change[] = [{ kind: "add-table" }, { kind: "delete-table" }];
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
      const table = new ContractTable(() => kernel, family);
      describe(family, () => {
        wholeTableClaims(table);
        elementClaims(table);
        passingClaims(table);
        prefixClaims(table);
        chainClaims(table);
        refusalClaims(table);
      });
    }
    for (const layer of ["netdev", "bridge"] as const) frameClaims(() => kernel, layer);
    atomicityClaims(() => kernel);
    orderClaims(() => kernel);
  });
}

/** One table of one family in the kernel under test. */
class ContractTable {
  readonly family: Family;
  readonly #kernel: () => NftKernel;

  constructor(kernel: () => NftKernel, family: Family) {
    this.#kernel = kernel;
    this.family = family;
  }

  get kernel(): NftKernel {
    return this.#kernel();
  }

  commit(...changes: readonly Change[]): Promise<void> {
    return this.kernel.commit([{ family: this.family, table: TABLE, changes }]);
  }

  /** The elements of one set, sorted by key. */
  async elements(set: SetSpec): Promise<Element[]> {
    const contents = await this.kernel.read(this.family, TABLE);
    return sorted(contents?.sets.get(set.name)?.values() ?? []);
  }

  async rules(chain: string): Promise<readonly string[] | undefined> {
    return (await this.kernel.readRules(this.family, TABLE)).get(chain);
  }

  /** A test on a table with a chain `c`, a verdict map, a set and two interval sets, all empty. */
  claim(name: string, body: () => Promise<void>): void {
    test(name, async () => {
      const sets = [setVerdicts, clusterIps, localPods, sourceRanges];
      await this.commit(
        ...REMOVE,
        { kind: "add-table" },
        { kind: "add-chain", chain: { name: "c" } },
        ...sets.map((set): Change => ({ kind: "add-set", set })),
      );
      try {
        await body();
      } finally {
        await this.commit(...REMOVE);
      }
    });
  }
}

function wholeTableClaims(table: ContractTable): void {
  const { family } = table;
  const whole = withoutRemember(sampleRuleset(family, TABLE));

  test("a table that does not exist reads as undefined, its rules as none", async () => {
    assert.equal(await table.kernel.read(family, "im-nowhere"), undefined);
    assert.equal((await table.kernel.readRules(family, "im-nowhere")).size, 0);
  });

  test("everything that is written is read back, but dynamic maps without elements", async () => {
    await table.kernel.commit([whole]);
    const contents = await table.kernel.read(family, TABLE);
    assert(contents !== undefined);
    assert.deepEqual(contents.sets, expectedSets(whole));
    const counts = new Map([...contents.chains].map(([chain, rules]) => [chain, rules.length]));
    assert.deepEqual(counts, expectedCounts(whole));
    assert.deepEqual(await table.kernel.readRules(family, TABLE), contents.chains);
    const [chain = "", rules] = [...contents.chains].find(([, list]) => list.length > 1) ?? [];
    const some = await table.kernel.readRules(family, TABLE, [chain, "im-nowhere"]);
    assert.deepEqual(Object.fromEntries(some), { [chain]: rules, "im-nowhere": [] });
    await table.commit({ kind: "delete-table" });
    assert.equal(await table.kernel.read(family, TABLE), undefined);
  });

  test("a table made again from nothing has the same rule texts", async () => {
    await table.kernel.commit([whole]);
    const first = await table.kernel.readRules(family, TABLE);
    await table.commit({ kind: "delete-table" }, ...whole.changes);
    assert.deepEqual(await table.kernel.readRules(family, TABLE), first);
    await table.commit({ kind: "delete-table" });
  });
}

function elementClaims(table: ContractTable): void {
  table.claim("elements carry verdicts and comments", async () => {
    const elements = [
      { key: "0:1", data: "goto c", comment: "default/web:http" },
      { key: "0:2", data: "jump c" },
      { key: "8001:ffff", data: "drop", comment: "x".repeat(127) },
    ];
    await table.commit(addElements(setVerdicts, ...elements));
    assert.deepEqual(await table.elements(setVerdicts), elements);
  });

  table.claim("an element is replaced by deleting and adding it in one batch", async () => {
    await table.commit(addElements(setVerdicts, { key: "0:1", data: "goto c", comment: "old" }));
    await table.commit(
      { kind: "delete-elements", set: setVerdicts, keys: ["0:1"] },
      addElements(setVerdicts, { key: "0:1", data: "drop", comment: "new" }),
    );
    const expected = [{ key: "0:1", data: "drop", comment: "new" }];
    assert.deepEqual(await table.elements(setVerdicts), expected);
  });

  table.claim("adding what exists changes nothing, not even its comment", async () => {
    await table.commit(addElements(setVerdicts, { key: "0:1", data: "drop", comment: "first" }));
    await table.commit(
      { kind: "add-table" },
      { kind: "add-set", set: setVerdicts },
      { kind: "add-chain", chain: { name: "c" } },
      addElements(setVerdicts, { key: "0:1", data: "drop", comment: "second" }),
    );
    const expected = [{ key: "0:1", data: "drop", comment: "first" }];
    assert.deepEqual(await table.elements(setVerdicts), expected);
  });

  table.claim("more elements than one message holds arrive", async () => {
    const elements = Array.from({ length: 2_000 }, (_, i) => ({
      key: `0:${(i + 1).toString(16)}`,
      data: "drop",
      comment: `namespace/a-service-with-a-long-name-${i}:port`,
    }));
    await table.commit(addElements(setVerdicts, ...elements));
    assert.deepEqual(await table.elements(setVerdicts), sorted(elements));
    const keys = elements.map(({ key }) => key);
    await table.commit({ kind: "delete-elements", set: setVerdicts, keys });
    assert.deepEqual(await table.elements(setVerdicts), []);
  });
}

function passingClaims(table: ContractTable): void {
  table.claim("elements that go by themselves are not read, and can be renewed", async () => {
    const set: SetSpec = { name: "alive", key: ["meta l4proto"], timeoutSeconds: 60 };
    const add = addElements(set, { key: "tcp" });
    const remove: Change = { kind: "delete-elements", set, keys: ["tcp"] };
    await table.commit({ kind: "add-set", set }, add);
    for (let i = 0; i < 2; i++) await table.commit(add, remove, add);
    assert.deepEqual(await table.elements(set), []);
    await table.commit(remove);
    await table.commit(add, remove, add);
  });
}

function prefixClaims(table: ContractTable): void {
  const [vip, other, prefix, neighbour] =
    table.family === "ip"
      ? ["10.96.0.10", "10.96.0.11", "10.71.1.0/24", "10.71.2.0/24"]
      : ["fd96::10", "fd96::11", "fd71:1::/64", "fd71:1:0:1::/64"];

  table.claim("prefixes are read back as written, also side by side", async () => {
    const elements = [{ key: prefix, comment: "pods" }, { key: neighbour }];
    const ranges = [{ key: `0:18 . ${prefix}` }, { key: `0:19 . ${prefix}`, comment: "office" }];
    await table.commit(addElements(localPods, ...elements), addElements(sourceRanges, ...ranges));
    assert.deepEqual(await table.elements(localPods), sorted(elements));
    assert.deepEqual(await table.elements(sourceRanges), sorted(ranges));
  });

  table.claim("deleted elements are gone, the others stay", async () => {
    await table.commit(
      addElements(clusterIps, { key: vip }, { key: other }),
      addElements(localPods, { key: prefix }, { key: neighbour }),
      addElements(sourceRanges, { key: `0:18 . ${prefix}` }, { key: `0:18 . ${neighbour}` }),
    );
    await table.commit(
      { kind: "delete-elements", set: clusterIps, keys: [vip] },
      { kind: "delete-elements", set: localPods, keys: [prefix] },
      { kind: "delete-elements", set: sourceRanges, keys: [`0:18 . ${neighbour}`] },
    );
    assert.deepEqual(await table.elements(clusterIps), [{ key: other }]);
    assert.deepEqual(await table.elements(localPods), [{ key: neighbour }]);
    assert.deepEqual(await table.elements(sourceRanges), [{ key: `0:18 . ${prefix}` }]);
  });
}

function chainClaims(table: ContractTable): void {
  table.claim("different rules have different texts, equal rules equal ones", async () => {
    await table.commit(...[REJECT, DROP, REJECT].map((rule) => addRule("c", rule)));
    const [first, second, third] = (await table.rules("c")) ?? [];
    assert.equal(first, third);
    assert.notEqual(first, second);
  });

  table.claim("flushing a chain removes its rules and keeps the chain", async () => {
    await table.commit(addRule("c", DROP), addRule("c", REJECT));
    await table.commit({ kind: "flush-chain", chain: "c" }, addRule("c", REJECT));
    assert.equal((await table.rules("c"))?.length, 1);
    await table.commit({ kind: "flush-chain", chain: "c" });
    assert.deepEqual(await table.rules("c"), []);
  });

  table.claim("a chain is deleted together with its rules", async () => {
    await table.commit(addRule("c", DROP));
    await table.commit({ kind: "delete-chain", chain: "c" });
    assert.equal(await table.rules("c"), undefined);
  });
}

function refusalClaims(table: ContractTable): void {
  const refuses = (name: string, code: string, given: readonly Change[], change: Change): void => {
    table.claim(`${name} fails with ${code}`, async () => {
      await table.commit(...given);
      await assert.rejects(table.commit(change), hasCode(code));
    });
  };
  const lookIn = (set: string): Rule => [
    { kind: "in-set", key: [{ kind: "field", field: "daddr" }], set },
  ];
  const verdict = (data: string): Change => addElements(setVerdicts, { key: "0:1", data });
  const gotoNone: Rule = [{ kind: "verdict", verdict: { kind: "goto", chain: "none" } }];
  const noVerdicts: Change = { kind: "delete-set", set: setVerdicts.name };
  const deleteKey: Change = { kind: "delete-elements", set: setVerdicts, keys: ["0:1"] };
  const deleteChain = (chain: string): Change => ({ kind: "delete-chain", chain });
  const deleteSet = (set: string): Change => ({ kind: "delete-set", set });

  refuses("an element for a set that does not exist", "ENOENT", [noVerdicts], verdict("drop"));
  refuses("a verdict to a chain that does not exist", "ENOENT", [], verdict("goto none"));
  refuses("deleting an element that does not exist", "ENOENT", [], deleteKey);
  refuses("deleting a set that does not exist", "ENOENT", [], deleteSet("none"));
  refuses("deleting a chain that does not exist", "ENOENT", [], deleteChain("none"));
  refuses("a rule in a chain that does not exist", "ENOENT", [], addRule("none", DROP));
  refuses("a rule with a set that does not exist", "ENOENT", [], addRule("c", lookIn("none")));
  refuses("a rule to a chain that does not exist", "ENOENT", [], addRule("c", gotoNone));
  refuses("other data for an element", "EEXIST", [verdict("jump c")], verdict("drop"));
  refuses("deleting an element's chain", "EBUSY", [verdict("jump c")], deleteChain("c"));
  const uses = addRule("c", lookIn(clusterIps.name));
  refuses("deleting a set that a rule looks in", "EBUSY", [uses], deleteSet(clusterIps.name));

  table.claim("a refusal names the change and the kernel's error", async () => {
    await assert.rejects(table.commit(verdict("goto none")), (error: unknown) => {
      assert(error instanceof NftError);
      assert.match(error.message, /^Cannot .*ENOENT/s);
      assert.match(error.message, /none/);
      return true;
    });
  });
}

/** Tables that see frames hold sets of both families. */
function frameClaims(kernel: () => NftKernel, layer: Layer): void {
  test(`${layer}: sets of both families, rules and counters are read back`, async () => {
    const place = { layer, table: TABLE } as const;
    const bound = (name: string): SetSpec => ({ name, key: ["meta iif", "saddr"] });
    const [ip, ip6] = [bound("bound-ip"), bound("bound-ip6")];
    const changes: readonly Change[] = [
      { kind: "add-table" },
      { kind: "add-counter", counter: "lies" },
      { kind: "add-counter", counter: "lies" },
      { kind: "add-set", set: ip },
      { kind: "add-chain", chain: { name: "c" } },
      addElements(ip, { key: "1 . 10.71.1.2" }),
      addRule("c", [{ kind: "count", counter: "lies" }, ...DROP]),
    ];
    const more: readonly Change[] = [
      { kind: "add-set", set: ip6 },
      addElements(ip6, { key: "1 . fd71:1::2" }),
    ];
    await kernel().commit([
      { family: "ip", ...place, changes },
      { family: "ip6", ...place, changes: more },
    ]);
    const contents = await kernel().read(layer, TABLE);
    assert.deepEqual(
      [ip, ip6].map(({ name }) => [...(contents?.sets.get(name)?.keys() ?? [])]),
      [["1 . 10.71.1.2"], ["1 . fd71:1::2"]],
    );
    assert.equal(contents?.chains.get("c")?.length, 1);
    assert.deepEqual([...(await kernel().readCounters(layer, TABLE))], [["lies", 0]]);
    await kernel().commit([{ family: "ip", ...place, changes: REMOVE }]);
    assert.equal(await kernel().read(layer, TABLE), undefined);
    assert.deepEqual([...(await kernel().readCounters(layer, TABLE))], []);
  });
}

function atomicityClaims(kernel: () => NftKernel): void {
  test("a bad last change leaves both tables and the generation as they were", async () => {
    const read = async () => [await kernel().read("ip", TABLE), await kernel().read("ip6", TABLE)];
    const whole = (["ip", "ip6"] as const).map((family) => sampleRuleset(family, TABLE));
    await kernel().commit(whole.map(withoutRemember));
    const contents = await read();
    const generation = await kernel().generation();
    const replace = inBothFamilies(
      { kind: "delete-table" },
      { kind: "add-table" },
      { kind: "add-chain", chain: { name: "new" } },
    );
    const bad: Transaction = { family: "ip6", table: TABLE, changes: [addRule("none", DROP)] };
    await assert.rejects(kernel().commit([...replace, bad]), hasCode("ENOENT"));
    assert.deepEqual(await read(), contents);
    assert.equal(await kernel().generation(), generation);
    await kernel().commit(inBothFamilies(...REMOVE));
  });
}

function orderClaims(kernel: () => NftKernel): void {
  const chains = async (family: Family): Promise<string[]> => [
    ...(await kernel().readRules(family, TABLE)).keys(),
  ];
  const addChain = (name: string): Change => ({ kind: "add-chain", chain: { name } });

  test("a table is replaced in one batch", async () => {
    await kernel().commit(inBothFamilies({ kind: "add-table" }, addChain("a")));
    await kernel().commit(inBothFamilies(...REMOVE, { kind: "add-table" }, addChain("b")));
    assert.deepEqual([await chains("ip"), await chains("ip6")], [["b"], ["b"]]);
    await kernel().commit(inBothFamilies(...REMOVE));
  });

  test("the generation grows by one with each commit", async () => {
    const generation = await kernel().generation();
    await kernel().commit(inBothFamilies({ kind: "add-table" }));
    assert.equal(await kernel().generation(), generation + 1);
    await kernel().commit(inBothFamilies({ kind: "delete-table" }));
    assert.equal(await kernel().generation(), generation + 2);
  });

  test("commits asked for at once are applied in order", async () => {
    await Promise.all([
      kernel().commit(inBothFamilies({ kind: "add-table" })),
      ...["a", "b", "c"].map((name) => kernel().commit(inBothFamilies(addChain(name)))),
    ]);
    assert.deepEqual(await chains("ip"), ["a", "b", "c"]);
    await kernel().commit(inBothFamilies(...REMOVE));
  });

  test("no transactions are no change", async () => {
    await kernel().commit([]);
  });
}

function inBothFamilies(...changes: readonly Change[]): Transaction[] {
  return (["ip", "ip6"] as const).map((family) => ({ family, table: TABLE, changes }));
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
    if (change.kind !== "add-rule") continue;
    counts.set(change.chain, (counts.get(change.chain) ?? 0) + 1);
  }
  return counts;
}
