import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hashText } from "./picker-hash.ts";
import { type HashOwner, makeMaglevTable } from "./picker-maglev.ts";
import { makeHashRing } from "./picker-ring.ts";

interface Member {
  readonly key: string;
}

const KEYS = Array.from({ length: 20_000 }, (_, i) => hashText(`client ${i}`));
const any = (): boolean => true;

function members(count: number): Member[] {
  return Array.from({ length: count }, (_, i) => ({ key: `10.0.${i >> 8}.${i & 255}:80` }));
}

function owners(table: HashOwner<Member>, accept: (member: Member) => boolean = any): string[] {
  return KEYS.map((key) => table(key, accept)?.key ?? "nobody");
}

function moved(before: readonly string[], after: readonly string[]): number {
  return before.filter((owner, i) => owner !== after[i]).length / before.length;
}

for (const [name, make, strayShare] of [
  // Maglev gives up a little stability for evenness; a ring moves no key that it need not.
  ["maglev", makeMaglevTable<Member>, 0.02],
  ["ring", makeHashRing<Member>, 0],
] as const) {
  suite(name, () => {
    test("one member less moves its own keys and few others", () => {
      const all = members(50);
      const [before, after] = [owners(make(all)), owners(make(all.slice(1)))];
      const own = before.filter((owner) => owner === all[0]?.key).length / before.length;
      assert.ok(own > 0.01 && own < 0.03, `${own}`);
      assert.ok(moved(before, after) <= own + strayShare, `${moved(before, after)}`);
    });

    test("the order of members makes no difference", () => {
      const all = members(20);
      assert.equal(moved(owners(make(all)), owners(make([...all].reverse()))), 0);
    });

    test("a refused member's keys are spread over others; all else stays", () => {
      const all = members(10);
      const table = make(all);
      const before = owners(table);
      const after = owners(table, ({ key }) => key !== all[3]?.key);
      const heirs = new Set<string>();
      before.forEach((owner, i) => {
        if (owner === all[3]?.key) heirs.add(after[i] ?? "");
        else assert.equal(after[i], owner);
      });
      assert.equal(heirs.size, 9);
    });

    test("the only one accepted is found; none of none", () => {
      const all = members(300);
      const table = make(all);
      assert.deepEqual(new Set(owners(table, ({ key }) => key === all[299]?.key)).size, 1);
      assert.equal(
        table(1, () => false),
        undefined,
      );
      assert.equal(make([])(1, any), undefined);
    });

    test("memory is bounded with thousands of members", () => {
      assert.ok(new Set(owners(make(members(3_000)))).size > 2_500);
    });
  });
}
