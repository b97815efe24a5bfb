// Takes a command line apart the way pflag does, knowing only names: which flags exist and which
// may stand without a value. What the values mean is read elsewhere.

import type { SettingProblem } from "./setting-problem.ts";

export interface KnownFlags {
  has(name: string): boolean;
  /** Flags like `--cleanup`, whose next argument is never their value. */
  valueOptional(name: string): boolean;
  /** Long name of a one-letter flag. */
  longName(letter: string): string | undefined;
  readonly names: Iterable<string>;
}

export interface ScannedFlags {
  /** Every text given for a flag, in order, by its long name with dashes. */
  readonly texts: ReadonlyMap<string, readonly string[]>;
  readonly problems: readonly SettingProblem[];
}

/**
 * Scans `--f v`, `--f=v`, `-v2`, `-v=2`, `-v 2`; `_` in names counts as `-`; `--` ends the flags.
 * A flag that needs a value takes the next argument whatever it looks like, as pflag does.
 * Never throws.
 * @param argv without the program's name and verb
 */
export function scanFlags(argv: readonly string[], known: KnownFlags): ScannedFlags {
  const texts = new Map<string, string[]>();
  const problems: SettingProblem[] = [];
  const rest = [...argv];
  const take = (name: string, shown: string, inline: string | undefined): void => {
    if (!known.has(name)) {
      problems.push({ where: shown, message: `is not a flag${suggest(name, known)}` });
      return;
    }
    const text = inline ?? (known.valueOptional(name) ? "true" : rest.shift());
    if (text === undefined) problems.push({ where: shown, message: "needs a value" });
    else texts.set(name, [...(texts.get(name) ?? []), text]);
  };
  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    if (argument === "--") {
      rest.splice(0).forEach((extra) => problems.push(strayArgument(extra)));
    } else if (argument.startsWith("--")) {
      const [shown, inline] = splitOnce(argument, "=");
      take(shown.slice(2).replaceAll("_", "-"), shown, inline);
    } else if (argument.startsWith("-") && argument.length > 1) {
      const letter = argument.charAt(1);
      const glued = argument.slice(2);
      const inline = glued.startsWith("=") ? glued.slice(1) : glued;
      take(known.longName(letter) ?? letter, `-${letter}`, glued === "" ? undefined : inline);
    } else {
      problems.push(strayArgument(argument));
    }
  }
  return { texts, problems };
}

function strayArgument(argument: string): SettingProblem {
  return {
    where: JSON.stringify(argument),
    message: "is not a flag; give booleans as --flag=false, other values as --flag value",
  };
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

const SUGGESTION_DISTANCE = 3;

function suggest(name: string, known: KnownFlags): string {
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const candidate of known.names) {
    const distance = editDistance(name, candidate);
    if (distance <= SUGGESTION_DISTANCE && distance < (best?.distance ?? Infinity)) {
      best = { name: candidate, distance };
    }
  }
  return best === undefined ? "; --help lists them" : `; did you mean --${best.name}?`;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
