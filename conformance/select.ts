// Which cases of a suite to run: `--test`, which may be given more than once. Pure.

import type { ConformanceCase } from "./case.ts";
import { ConformanceError } from "./conformance-error.ts";

/**
 * Chooses cases by regular expressions on their id: any that matches, less those that a pattern
 * with a leading `!` matches. Without positive patterns all are wanted.
 * @throws ConformanceError `usage` when a pattern is none, or nothing is left
 */
export function selectCases(
  cases: readonly ConformanceCase[],
  patterns: readonly string[],
): readonly ConformanceCase[] {
  const wanted = patterns.filter((text) => !text.startsWith("!")).map(compile);
  const unwanted = patterns.filter((text) => text.startsWith("!")).map((t) => compile(t.slice(1)));
  const chosen = cases.filter(
    ({ id }) =>
      (wanted.length === 0 || wanted.some((pattern) => pattern.test(id))) &&
      !unwanted.some((pattern) => pattern.test(id)),
  );
  if (chosen.length > 0) return chosen;
  const tried = patterns.map((text) => `"${text}"`).join(" ");
  throw new ConformanceError("usage", `Cannot choose cases by --test ${tried}: none matches`);
}

function compile(pattern: string): RegExp {
  try {
    return new RegExp(pattern);
  } catch (cause) {
    const message = `Cannot read --test "${pattern}": it is no regular expression`;
    throw new ConformanceError("usage", message, { cause });
  }
}
