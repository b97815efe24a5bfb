// The map from kube-proxy's behaviours to the tests that hold them: test/parity.json, and the page
// made of it.

import { readFileSync } from "node:fs";
import { join } from "node:path";

/** One behaviour of kube-proxy 1.36, or one trap in it. */
export interface ParityRow {
  readonly section: string;
  readonly behaviour: string;
  /** Full names of tests; all of them must exist. */
  readonly tests: readonly string[];
  readonly note?: string;
}

/** Reads the map. @throws when a row lacks a part */
export function readParity(root: string): readonly ParityRow[] {
  const rows: unknown = JSON.parse(readFileSync(join(root, "test/parity.json"), "utf8"));
  if (!Array.isArray(rows) || !rows.every(isRow)) {
    throw new Error("Cannot read test/parity.json: want rows of section, behaviour and tests");
  }
  return rows;
}

/** Names of tests in a file's text: what stands as a literal after `test(` or `name:`. */
export function testNames(text: string): readonly string[] {
  const calls = text.matchAll(/(?:\btest|\bname)\s*[(:]\s*"((?:[^"\\]|\\.)+)"/g);
  return [...calls].map(([, name = ""]) => name.replaceAll('\\"', '"'));
}

/** Markdown: one table for each section. */
export function formatParity(rows: readonly ParityRow[]): string {
  const sections = [...new Set(rows.map(({ section }) => section))];
  return sections
    .map((section) => {
      const lines = rows
        .filter((row) => row.section === section)
        .map(({ behaviour, tests, note }) => {
          const list = tests.map((name) => name.replaceAll("|", "\\|")).join("<br>");
          return `| ${behaviour}${note === undefined ? "" : ` (${note})`} | ${list} |`;
        });
      return [`## ${section}`, "", "| kube-proxy | tests |", "| --- | --- |", ...lines, ""].join(
        "\n",
      );
    })
    .join("\n");
}

function isRow(value: unknown): value is ParityRow {
  if (typeof value !== "object" || value === null) return false;
  const { section, behaviour, tests } = value as Partial<Record<string, unknown>>;
  const named = typeof section === "string" && typeof behaviour === "string";
  return named && Array.isArray(tests) && tests.length > 0;
}
