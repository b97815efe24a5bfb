// No object goes back in time, except when a complete list says that time went back.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MAX_TOMBSTONES, ObjectTable } from "./object-table.ts";
import { compareResourceVersions, isOlder } from "./resource-version.ts";

interface Thing {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly content?: string;
}

function makeTable(): { table: ObjectTable<Thing>; changes: string[] } {
  const changes: string[] = [];
  const table = new ObjectTable<Thing>(
    ({ name }) => name,
    (before, after) => {
      changes.push(`${before?.resourceVersion ?? "-"}→${after?.resourceVersion ?? "-"}`);
    },
  );
  return { table, changes };
}

const at = (resourceVersion: string, uid = "u"): Thing => ({ name: "a", uid, resourceVersion });
const NONE: ReadonlySet<string> = new Set();

test("versions compare as the decimal integers they are", () => {
  assert.ok(isOlder("9", "10"));
  assert.ok(!isOlder("10", "9"));
  assert.equal(compareResourceVersions("7", "7"), 0);
  for (const odd of ["", "abc", "07", "-1", "1.5"]) {
    assert.equal(compareResourceVersions(odd, "7"), undefined);
  }
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n }), fc.bigInt({ min: 0n }), (a, b) => {
      const order = compareResourceVersions(`${a}`, `${b}`) ?? Number.NaN;
      assert.equal(Math.sign(order), a < b ? -1 : a > b ? 1 : 0);
    }),
  );
});

test("an older or equal version changes nothing", () => {
  const { table, changes } = makeTable();
  for (const version of ["5", "5", "4", "10", "9"]) table.put(at(version));
  assert.deepEqual(changes, ["-→5", "5→10"]);
});

test("a later object of the same name replaces, whatever its uid; a former life does not", () => {
  const { table, changes } = makeTable();
  table.put(at("5", "old"));
  table.put(at("8", "new"));
  table.put(at("6", "old"));
  assert.deepEqual(changes, ["-→5", "5→8"]);
});

test("a deletion that is older than what is known is dropped", () => {
  const { table, changes } = makeTable();
  table.put(at("8", "new"));
  table.remove("a", at("6", "old"));
  assert.equal(table.objects.size, 1);
  table.remove("a", at("9", "new"));
  assert.deepEqual(changes, ["-→8", "8→-"]);
});

test("a late event does not bring a deleted object back, a re-selected one comes back", () => {
  const { table, changes } = makeTable();
  table.remove("a", at("6"));
  table.put(at("5"));
  assert.equal(table.objects.size, 0);
  table.put(at("7"));
  assert.deepEqual(changes, ["-→7"]);
});

test("the memory of deletions is bounded", () => {
  const { table } = makeTable();
  for (let i = 0; i <= MAX_TOMBSTONES; i++) table.remove("x", at("6", `uid-${i}`));
  table.put({ ...at("5", "uid-1"), name: "second" });
  table.put({ ...at("5", "uid-0"), name: "first" });
  assert.deepEqual([...table.objects.keys()], ["first"]);
});

test("objects without versions, from files, are compared by content", () => {
  const { table, changes } = makeTable();
  table.put({ ...at(""), content: "1" });
  table.put({ ...at(""), content: "1" });
  table.put({ ...at(""), content: "2" });
  table.replace([{ ...at(""), content: "2" }], NONE);
  assert.equal(changes.length, 2);
});

test("a list tells only what differs, and keeps the objects that do not", () => {
  const { table, changes } = makeTable();
  const same = at("5");
  table.replace([same, { ...at("6", "v"), name: "b" }, { ...at("7", "w"), name: "c" }], NONE);
  changes.length = 0;
  table.replace([{ ...same }, { ...at("8", "v"), name: "b" }], new Set(["c"]));
  assert.deepEqual(changes, ["6→8"]);
  assert.equal(table.objects.get("a"), same);
  assert.equal(table.objects.get("c")?.resourceVersion, "7");
});

test("a list is believed even where it is older, and events go on from there", () => {
  const { table, changes } = makeTable();
  table.put(at("100"));
  table.remove("b", at("100", "gone"));
  table.replace([at("40")], NONE);
  table.put(at("41"));
  table.put({ ...at("42", "gone"), name: "b" });
  assert.deepEqual(changes, ["-→100", "100→40", "40→41", "-→42"]);
});
