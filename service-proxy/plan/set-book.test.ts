import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Element, TableContents } from "../../lib/nft/objects.ts";
import { formatPriority } from "../../lib/nft/priority.ts";
import { SetBook, setName } from "./set-book.ts";

const PORT = { name: "http", port: 80, protocol: "TCP" };

function contents(sets: Readonly<Record<string, readonly Element[]>>): TableContents {
  const entries = Object.entries(sets).map(
    ([name, elements]) => [name, new Map(elements.map((e) => [e.key, e]))] as const,
  );
  return { sets: new Map(entries), chains: new Map() };
}

describe("SetBook", () => {
  test("keeps an id while its name is held, and gives others to others", () => {
    const book = new SetBook();
    const first = book.placePlain("a", ["x"]);
    assert.notEqual(book.placePlain("b", ["x"]).id, first.id);
    assert.equal(book.placePlain("a", ["y"]).id, first.id);
  });

  test("a removed target's place goes to the last one: two elements change, however many there are", () => {
    const book = new SetBook();
    book.placePlain("a", ["1", "2", "3", "4"]);
    assert.deepEqual(book.placePlain("a", ["1", "3", "4"]).targets, ["1", "4", "3"]);
  });

  test("a replaced target's place goes to its successor", () => {
    const book = new SetBook();
    book.placePlain("a", ["1", "2", "3"]);
    assert.deepEqual(book.placePlain("a", ["1", "3", "9"]).targets, ["1", "9", "3"]);
  });

  test("a target that is wanted less often gives up its last positions", () => {
    const book = new SetBook();
    book.placePlain("a", ["1", "1", "1", "1", "2"]);
    assert.deepEqual(book.placePlain("a", ["1", "1", "2"]).targets, ["1", "1", "2"]);
    assert.deepEqual(book.placePlain("a", ["1", "2", "2"]).targets, ["1", "2", "2"]);
    assert.deepEqual(book.placeSticky("b", ["1", "1", "2"])?.targets, ["1", "2"]);
  });

  test("positions are dense and hold just the wanted targets, whatever came before", () => {
    const targets = fc.array(fc.integer({ min: 0, max: 12 }).map(String));
    fc.assert(
      fc.property(fc.array(targets, { minLength: 1, maxLength: 8 }), (steps) => {
        const book = new SetBook();
        for (const step of steps) {
          const placed = book.placePlain("a", step);
          assert.deepEqual([...placed.targets].sort(), [...step].sort());
        }
      }),
    );
  });

  test("an endpoint of a sticky set keeps its number, and a new one never gets an old one's", () => {
    const book = new SetBook();
    const before = new Map(book.placeSticky("a", ["1", "2"])?.numbers);
    const after = book.placeSticky("a", ["2", "3"])?.numbers;
    assert.equal(after?.get("2"), before.get("2"));
    assert.notEqual(after?.get("3"), before.get("1"));
  });

  test("says so when a sticky set finds no room", () => {
    const book = new SetBook();
    for (let i = 0; i < 0x7fff; i++) assert.ok(book.placeSticky(`s${i}`, []));
    assert.equal(book.placeSticky("one more", []), undefined);
    book.release("s7");
    assert.ok(book.placeSticky("one more", []));
  });

  test("recovers ids, positions and numbers from the kernel's elements", () => {
    const name = setName("default/web", PORT, "cluster");
    const sticky = setName("default/db", PORT, "cluster-affinity");
    const book = new SetBook();
    book.recover(
      contents({
        esets: [
          { key: "0:7", data: "goto mod-2", comment: name },
          { key: "8003:0", data: "goto aff-1", comment: sticky },
        ],
        endpoints: [
          { key: "0:7 . 1", data: "10.0.0.1 . 80" },
          { key: "0:7 . 0", data: "10.0.0.2 . 80" },
        ],
        "aff-ep": [{ key: "8003:5", data: "10.0.0.9 . 80" }],
        "aff-choice": [{ key: "8003:0 . 0", data: "8003:5" }],
      }),
    );
    const web = book.placePlain(name, ["10.0.0.1 . 80", "10.0.0.2 . 80"]);
    assert.deepEqual([web.id, web.targets], [7, ["10.0.0.2 . 80", "10.0.0.1 . 80"]]);
    const db = book.placeSticky(sticky, ["10.0.0.9 . 80"]);
    assert.equal(formatPriority(db?.id ?? 0), "8003:0");
    assert.equal(db?.numbers.get("10.0.0.9 . 80"), 5);
    assert.equal(book.idOf("new"), 8);
  });

  test("names too long for a comment are cut, and stay apart", () => {
    const service = `${"n".repeat(63)}/${"s".repeat(63)}`;
    const cluster = setName(service, PORT, "cluster");
    assert.ok(cluster.length <= 127);
    assert.notEqual(cluster, setName(service, PORT, "local"));
  });
});
