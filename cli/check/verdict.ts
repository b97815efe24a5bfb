// What a check is, and what it can say.

import type { Fact, Facts } from "./facts.ts";

export type Status = "ok" | "warn" | "fail" | "skip";

export interface Verdict {
  readonly status: Status;
  /** What was found; of a skipped check, why it could not look. */
  readonly message: string;
  /** What to do about it. */
  readonly hint?: string;
  /** All of what `message` shows a few of. */
  readonly details?: readonly string[];
}

export interface Check {
  /** Stable: `category.name`. People and programs refer to it. */
  readonly id: string;
  /** The worst it can say. */
  readonly worst: "warn" | "fail";
  /** Whether the check has a place in the report at all. @default always */
  readonly appliesTo?: (facts: Facts) => boolean;
  /** Never throws. */
  readonly judge: (facts: Facts) => Verdict;
}

export function ok(message: string): Verdict {
  return { status: "ok", message };
}

export function warn(message: string, hint: string): Verdict {
  return { status: "warn", message, hint };
}

export function fail(message: string, hint: string): Verdict {
  return { status: "fail", message, hint };
}

export function skip(why: string): Verdict {
  return { status: "skip", message: why };
}

/** Judges what is known; what is not makes the check skip with the reason. */
export function ifKnown<T>(fact: Fact<T>, judge: (value: T) => Verdict): Verdict {
  return fact.kind === "known" ? judge(fact.value) : skip(fact.why);
}

/** The first few of a list, and how many more there are. */
export function some(items: readonly string[], separator = ", ", shown = 3): string {
  const rest = items.length - shown;
  const text = items.slice(0, shown).join(separator);
  return rest > 0 ? `${text}${separator}and ${rest} more` : text;
}

/** A long list is cut: the report is read by people. */
const MAXIMUM_DETAILS = 100;

/** Adds the whole list to a verdict that could only show a few of it. */
export function withDetails(verdict: Verdict, details: readonly string[]): Verdict {
  return { ...verdict, details: details.slice(0, MAXIMUM_DETAILS) };
}
