import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Element } from "../../lib/nft/objects.ts";
import { type Difference, ElementLedger } from "./element-ledger.ts";
import type { PlannedElement } from "./service-plan.ts";

const old = { name: "default/old", createdMs: 1 };
const young = { name: "default/young", createdMs: 2 };
const vip = (data: string): PlannedElement => ({ set: "vips", key: "192.0.2.1 . tcp . 80", data });

/** What a kernel holds after it applied a difference. */
function applied(kernel: Map<string, Element>, difference: Difference): Map<string, Element> {
  const result = new Map(kernel);
  for (const [set, keys] of difference) {
    for (const [key, { before, after }] of keys) {
      const name = `${set} ${key}`;
      assert.deepEqual(result.get(name)?.data, before?.data, `before of ${name}`);
      if (after === undefined) result.delete(name);
      else result.set(name, after);
    }
  }
  return result;
}

function texts(elements: Iterable<readonly [string, Element]>): string[] {
  return [...elements].map(([name, { data }]) => `${name}=${data}`).sort();
}

describe("ElementLedger", () => {
  test("two Services that name one element: the older has it, the younger is told", () => {
    const ledger = new ElementLedger();
    ledger.replace(young, [], [vip("0:2")]);
    ledger.replace(old, [], [vip("0:1")]);
    assert.equal(ledger.wanted.get("vips")?.get("192.0.2.1 . tcp . 80")?.data, "0:1");
    assert.deepEqual(ledger.conflicts(), [
      { set: "vips", key: "192.0.2.1 . tcp . 80", winner: "default/old", loser: "default/young" },
    ]);
    ledger.replace(old, [vip("0:1")], []);
    assert.equal(ledger.wanted.get("vips")?.get("192.0.2.1 . tcp . 80")?.data, "0:2");
    assert.deepEqual(ledger.conflicts(), []);
  });

  test("a change that is taken back before it was applied leaves no difference", () => {
    const ledger = new ElementLedger();
    ledger.replace(old, [], [vip("0:1")]);
    ledger.replace(old, [vip("0:1")], []);
    assert.equal([...ledger.takeDifference()].flatMap(([, keys]) => [...keys]).length, 0);
  });

  test("apply(difference(a, b)) on a gives b, for any steps of any owners", () => {
    const element = fc.record({
      set: fc.constantFrom("vips", "hairpin", "endpoints"),
      key: fc.constantFrom("k1", "k2", "k3"),
      data: fc.constantFrom("0:1", "0:2"),
    });
    const distinct = fc.uniqueArray(element, {
      selector: (e) => `${e.set} ${e.key}`,
      maxLength: 5,
    });
    const step = fc.record({ owner: fc.constantFrom(old, young), after: distinct });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const ledger = new ElementLedger();
        const held = new Map<string, readonly PlannedElement[]>();
        let kernel = new Map<string, Element>();
        for (const { owner, after } of steps) {
          // Sets outside the shared ones carry ids, so two owners never meet there.
          const own = after.map((e) =>
            e.set === "endpoints" ? { ...e, key: `${owner.name} ${e.key}` } : e,
          );
          ledger.replace(owner, held.get(owner.name) ?? [], own);
          held.set(owner.name, own);
          if (Math.abs(own.length) % 2 === 0) continue;
          kernel = applied(kernel, ledger.takeDifference());
        }
        kernel = applied(kernel, ledger.takeDifference());
        const wanted = [...ledger.wanted].flatMap(([set, elements]) =>
          [...elements].map(([key, e]) => [`${set} ${key}`, e] as const),
        );
        assert.deepEqual(texts(kernel), texts(wanted));
      }),
    );
  });

  test("compare finds what the kernel lacks, has extra and has wrong", () => {
    const ledger = new ElementLedger();
    ledger.replace(old, [], [vip("0:1"), { set: "cluster-ips", key: "10.0.0.1" }]);
    const sets = new Map([
      ["vips", new Map([["192.0.2.1 . tcp . 80", { key: "192.0.2.1 . tcp . 80", data: "0:9" }]])],
      ["hairpin", new Map([["a . a", { key: "a . a" }]])],
    ]);
    ledger.compare({ sets, chains: new Map() });
    const found = [...ledger.takeDifference()].flatMap(([set, keys]) =>
      [...keys].map(([key, d]) => `${set} ${key}: ${d.before?.data} → ${d.after?.data}`),
    );
    assert.deepEqual(found.sort(), [
      "cluster-ips 10.0.0.1: undefined → undefined",
      "hairpin a . a: undefined → undefined",
      "vips 192.0.2.1 . tcp . 80: 0:9 → 0:1",
    ]);
  });
});
