// Reads what a Go test program prints with `-test.v`: which tests ended how, and why. Pure.
// Lines between two `===` marks belong to the test that the first one names.

import type { CaseResult, Outcome } from "../case-result.ts";

const MARK = /^=== (?:RUN|NAME|CONT|PAUSE)\s+(\S+)/;
/** Of the tests below the program's own: four spaces for each level. */
const END = /^((?: {4})+)--- (PASS|FAIL|SKIP): [^/\s]+\/(\S+) \((\d+\.\d+)s\)/;
/** What suites say while they wait, and what testify says at the end. */
const REASON = new RegExp(
  [
    /not ready yet: (.*?)(?: \(after .*)?$/,
    /: (FAILED Command was .*|Expected connection .*)$/,
    /^\s*(?:Error|Messages):\s+(\S.*)$/,
  ]
    .map(({ source }) => source)
    .join("|"),
);
const REASONS = 4;
const SKIP = /: Skipping [^:]+: (.*)$/;

interface End {
  /** Without the program's own test. */
  readonly path: readonly string[];
  readonly word: string;
  readonly seconds: number;
}

/**
 * The tests that many levels below the program's own, in the order in which they ended; those above
 * of which nothing is below, or which failed by themselves, are among them.
 * @param suite names them in reports
 */
export function parseGoTests(suite: string, output: string, levels = 1): readonly CaseResult[] {
  const lines = output.split("\n");
  const texts = textsByTest(lines, levels);
  const ends = lines.flatMap(parseEnd);
  return ends
    .filter((end) => isResult(end, ends, levels))
    .map((end) => {
      const id = end.path.join("/");
      return {
        suite,
        id,
        name: id.replaceAll("_", " "),
        // Addresses of the cluster's first family are all that suites ask for.
        family: "ip",
        outcome: outcomeOf(end.word, texts.get(id) ?? []),
        // A test's own time leaves out what runs in parallel below.
        tookMs: Math.max(end.seconds, ...below(end, ends).map(({ seconds }) => seconds)) * 1000,
        observations: [],
        leftovers: [],
      };
    });
}

function parseEnd(line: string): readonly End[] {
  const [, indent = "", word = "", path = "", seconds] = END.exec(line) ?? [];
  if (seconds === undefined) return [];
  // A name may have slashes itself.
  const names = path.split("/");
  const level = indent.length / 4;
  const own = [...names.slice(0, level - 1), names.slice(level - 1).join("/")];
  return [{ path: own, word, seconds: Number(seconds) }];
}

function isResult(end: End, ends: readonly End[], levels: number): boolean {
  if (end.path.length >= levels) return end.path.length === levels;
  const children = below(end, ends);
  if (children.length === 0) return true;
  return end.word === "FAIL" && children.every(({ word }) => word !== "FAIL");
}

/** One level below. */
function below({ path }: End, ends: readonly End[]): readonly End[] {
  const isBelow = (end: End): boolean =>
    end.path.length === path.length + 1 && path.every((name, index) => end.path[index] === name);
  return ends.filter(isBelow);
}

function textsByTest(
  lines: readonly string[],
  levels: number,
): ReadonlyMap<string, readonly string[]> {
  const texts = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of lines) {
    const mark = MARK.exec(line)?.[1];
    if (mark === undefined) {
      current.push(line);
      continue;
    }
    const id = mark
      .split("/")
      .slice(1, levels + 1)
      .join("/");
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
      return { kind: "skipped", why: lastMatches(text, SKIP).at(-1) ?? "it says nothing" };
    default: {
      const reasons = lastMatches(text, REASON);
      return { kind: "failed", why: reasons.join("; ") || "it says nothing", earlier: [] };
    }
  }
}

/** The last different things that were said, the newest last. */
function lastMatches(text: readonly string[], pattern: RegExp): readonly string[] {
  const found = text.flatMap((line) => {
    const [, ...groups] = pattern.exec(line) ?? [];
    return groups.filter((group) => group !== undefined);
  });
  return [...new Set(found)].slice(-REASONS);
}
