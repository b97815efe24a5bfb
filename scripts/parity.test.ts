// A behaviour of kube-proxy without a test that holds it is a promise that nobody keeps.

import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { readCheckout } from "./checkout.ts";
import { readParity, testNames } from "./parity.ts";

const ROOT = join(import.meta.dirname, "..");

describe("test/parity.json", () => {
  const rows = readParity(ROOT);

  test("every test it names exists", () => {
    const names = new Set(
      readCheckout(ROOT)
        .filter(({ path }) => /(test|contract|cases)\.ts$/.test(path))
        .flatMap(({ text }) => testNames(text)),
    );
    const missing = rows.flatMap(({ behaviour, tests }) =>
      tests.filter((name) => !names.has(name)).map((name) => `${behaviour}: no test "${name}"`),
    );
    assert.deepEqual(missing, []);
  });

  test("has all rows and all 25 traps", () => {
    const count = (section: string): number => rows.filter((row) => row.section === section).length;
    assert.equal(count("Traps"), 25);
    assert.ok(rows.length >= 60, `${rows.length} rows`);
  });

  test("no test that it names is skipped, and a name that is not there is noticed", () => {
    assert.deepEqual(testNames('test("a \\"b\\"", () => {});  test.skip("c", …)'), ['a "b"']);
  });
});
