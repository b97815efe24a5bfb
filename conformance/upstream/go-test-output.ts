// Reads what a Go test program prints with `-test.v`: which tests ended how, and why. Pure.
// Lines between two `===` marks belong to the test that the first one names.

import type { CaseResult, Outcome } from "../case-result.ts";

const MARK = /^=== (?:RUN|NAME|CONT|PAUSE)\s+(\S+)/;
/** Of the tests below the program's own. */
const END = /^ {4}--- (PASS|FAIL|SKIP): [^/\s]+\/([^/\s]+) \((\d+\.\d+)s\)/;
/** Of what is below them. Their own time leaves out what runs in parallel below. */
const END_BELOW = /^ {8}--- \w+: [^/\s]+\/([^/\s]+)\/\S+ \((\d+\.\d+)s\)/;
/** What a suite says while it waits, and what testify says at the end. */
const REASON = /not ready yet: (.*?)(?: \(after .*)?$|^\s*(?:Error|Messages):\s+(\S.*)$/;
const SKIP = /: Skipping [^:]+: (.*)$/;

/**
 * The tests one level below the program's own, in the order in which they ended.
 * @param suite names them in reports
 */
export function parseGoTests(suite: string, output: string): readonly CaseResult[] {
  const lines = output.split("\n");
  const texts = textsByTest(lines);
  const below = longestBelow(lines);
  return lines.flatMap((line) => {
    const [, word, id = "", seconds = "0"] = END.exec(line) ?? [];
    if (word === undefined) return [];
    const result: CaseResult = {
      suite,
      id,
      name: id,
      // Addresses of the cluster's first family are all that suites ask for.
      family: "ip",
      outcome: outcomeOf(word, texts.get(id) ?? []),
      tookMs: Math.max(Number(seconds), below.get(id) ?? 0) * 1000,
      observations: [],
      leftovers: [],
    };
    return [result];
  });
}

/** In seconds. */
function longestBelow(lines: readonly string[]): ReadonlyMap<string, number> {
  const longest = new Map<string, number>();
  for (const line of lines) {
    const [, id, seconds] = END_BELOW.exec(line) ?? [];
    if (id !== undefined) longest.set(id, Math.max(longest.get(id) ?? 0, Number(seconds)));
  }
  return longest;
}

function textsByTest(lines: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const texts = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of lines) {
    const mark = MARK.exec(line)?.[1];
    if (mark === undefined) {
      current.push(line);
      continue;
    }
    const id = mark.split("/")[1] ?? "";
    current = texts.get(id) ?? [];
    texts.set(id, current);
  }
  return texts;
}

function outcomeOf(word: string, text: readonly string[]): Outcome {
  switch (word) {
    case "PASS":
      return { kind: "passed" };
    case "SKIP":
      return { kind: "skipped", why: lastMatch(text, SKIP).at(-1) ?? "it says nothing" };
    default: {
      const reasons = lastMatch(text, REASON);
      return { kind: "failed", why: reasons.join("; ") || "it says nothing", earlier: [] };
    }
  }
}

/** The last different things that were said, the newest last. */
function lastMatch(text: readonly string[], pattern: RegExp): readonly string[] {
  const found = text.flatMap((line) => {
    const [, ...groups] = pattern.exec(line) ?? [];
    return groups.filter((group) => group !== undefined);
  });
  return [...new Set(found)].slice(-3);
}
