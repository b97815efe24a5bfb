// Regular expressions of routes: RE2's dialect, which has no back-references and no lookaround,
// matched in time linear to the text (threat of ReDoS, fault F12). JavaScript's own engine tries
// again and again; V8's linear one is behind a flag and refuses counted repetition.

import { RE2JS } from "re2js";

export interface RouteRegex {
  readonly kind: "regex";
  /** Whether the whole text matches. */
  test(text: string): boolean;
}

export interface BadRegex {
  readonly kind: "bad";
  readonly why: string;
}

/** Compiling the worst of this length takes 3 ms. */
export const MAX_PATTERN_LENGTH = 512;
/**
 * Instructions of the compiled program, which each character may cost: at this size the worst
 * expression takes 0.1 s for a path of 8 KiB, a usual one 0.2 µs (re2js 2.10, 2026-11).
 */
const MAX_PROGRAM_SIZE = 250;

/** Compiles an expression. Never throws; one that is no RE2 or too large is told as such. */
export function compileRegex(pattern: string): RouteRegex | BadRegex {
  if (pattern.length > MAX_PATTERN_LENGTH) {
    return { kind: "bad", why: `it is longer than ${MAX_PATTERN_LENGTH} characters` };
  }
  try {
    const compiled = RE2JS.compile(pattern);
    if (compiled.programSize() > MAX_PROGRAM_SIZE) return { kind: "bad", why: "it is too large" };
    return { kind: "regex", test: (text) => compiled.testExact(text) };
  } catch (cause) {
    // The library throws for everything it refuses, and a pattern is never the caller's bug.
    return { kind: "bad", why: cause instanceof Error ? cause.message : String(cause) };
  }
}
