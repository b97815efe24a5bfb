import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type BenchRow,
  formatBudgets,
  formatComparison,
  formatNumber,
  formatRows,
} from "./bench-report.ts";

const row = (subject: string, value: number): BenchRow => {
  return { case: "cold", subject, metric: "time", unit: "ms", value };
};

test("numbers keep three digits that count", () => {
  const shown = [0, 0.03412, 9.999, 48.25, 123.4, 16_812].map(formatNumber);
  assert.deepEqual(shown, ["0", "0.0341", "10", "48.3", "123", "16,812"]);
});

test("a row tells how it moved since the same row was measured before", () => {
  const table = formatRows(
    [row("innermesh", 90), row("kube-proxy", 1000), row("new", 1)],
    [row("innermesh", 100), row("kube-proxy", 1001)],
  );
  assert.deepEqual(table.split("\n"), [
    "| case | subject    | metric | value    | before |",
    "| ---- | ---------- | ------ | -------- | ------ |",
    "| cold | innermesh  | time   | 90 ms    | −10 %  |",
    "| cold | kube-proxy | time   | 1,000 ms | same   |",
    "| cold | new        | time   | 1 ms     |        |",
  ]);
});

test("a missed budget is told in capitals", () => {
  const table = formatBudgets([{ name: "cold", limit: 3, value: 4, ok: false }]);
  assert.match(table, /\| cold +\| 3 +\| 4 +\| MISSED \|$/);
});

test("two subjects stand side by side, with how many times the first the second is", () => {
  const table = formatComparison([row("innermesh", 50), row("kube-proxy", 1000)]);
  assert.deepEqual(table.split("\n"), [
    "### cold",
    "",
    "|      | innermesh | kube-proxy | second / first |",
    "| ---- | --------- | ---------- | -------------- |",
    "| time | 50 ms     | 1,000 ms   | 20             |",
  ]);
});

test("of more than two subjects none is the measure of the others", () => {
  const rows = ["a", "b", "c"].map((subject, i) => row(subject, i));
  const [, , head] = formatComparison(rows).split("\n");
  assert.equal(head, "|      | a    | b    | c    |");
});
