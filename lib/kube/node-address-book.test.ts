import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { makeFakeClock } from "../clock/fake-clock.ts";
import { openNodeAddressBook, parseNodeTable } from "./node-address-book.ts";

const COLUMNS = ["Name", "Status", "Internal-IP", "External-IP"].map((name) => ({ name }));

function tableOf(...addresses: readonly string[]): unknown {
  const rows = addresses.map((address, i) => ({ cells: [`n${i}`, "Ready", address, "<none>"] }));
  return { kind: "Table", columnDefinitions: COLUMNS, rows };
}

describe("parseNodeTable", () => {
  test("takes internal and external addresses, each once", () => {
    const rows = [
      { cells: ["n", "Ready", "10.0.0.1", "192.0.2.1"] },
      { cells: ["m", "x", "<none>"] },
    ];
    assert.deepEqual(parseNodeTable({ columnDefinitions: COLUMNS, rows }), [
      "10.0.0.1",
      "192.0.2.1",
    ]);
  });

  test("a table without these columns is none", () => {
    assert.equal(parseNodeTable({ columnDefinitions: [{ name: "Name" }], rows: [] }), undefined);
  });

  test("never throws", () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => void parseNodeTable(value)));
  });
});

describe("openNodeAddressBook", () => {
  function rig(answers: readonly unknown[], isNeeded = true) {
    const clock = makeFakeClock();
    const stop = new AbortController();
    const asked: string[] = [];
    const errors: unknown[] = [];
    const book = openNodeAddressBook({
      client: {
        getJson: async (path) => {
          const answer = answers[Math.min(asked.push(path), answers.length) - 1];
          if (answer instanceof Error) throw answer;
          return answer;
        },
      },
      clock,
      random: () => 0.5,
      signal: stop.signal,
      isNeeded: () => isNeeded,
      onError: (error) => errors.push(error),
    });
    return { book, clock, stop, asked, errors };
  }

  test("is open after the first answer, and renewed while somebody claims an address", async () => {
    const { book, clock, stop, asked } = rig([tableOf("10.0.0.1"), tableOf("10.0.0.2")]);
    await book.opened;
    assert.deepEqual(book.current(), ["10.0.0.1"]);
    let changes = 0;
    book.onChange(() => changes++);
    await clock.advance(300_000);
    assert.deepEqual([book.current(), changes, asked.length], [["10.0.0.2"], 1, 2]);
    stop.abort();
  });

  test("nothing is asked again while nobody claims one", async () => {
    const { book, clock, stop, asked } = rig([tableOf("10.0.0.1")], false);
    await book.opened;
    await clock.advance(3_600_000);
    assert.equal(asked.length, 1);
    stop.abort();
  });

  test("a server that refuses does not hold up the start, and is asked again", async () => {
    const { book, clock, stop, errors } = rig([new Error("forbidden"), tableOf("10.0.0.1")]);
    await book.opened;
    assert.deepEqual([book.current(), errors.length], [[], 1]);
    await clock.advance(1_000);
    assert.deepEqual(book.current(), ["10.0.0.1"]);
    stop.abort();
  });
});
