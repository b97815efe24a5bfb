// The kinds of value a setting can have: each reads itself from a flag's text and from a field of
// a configuration file, and prints itself. Readers are total: a bad value is told, not thrown.

import { formatGoDuration, parseGoDuration } from "./duration.ts";

export type Read<T> =
  | { readonly ok: true; readonly value: T }
  /** `why` completes a sentence: "is not a duration; write it like 30s". */
  | { readonly ok: false; readonly why: string };

export interface ValueType<T> {
  /** As help and docs name it, e.g. `duration`. */
  readonly name: string;
  /** True when the flag may stand without a value, as pflag's booleans do. */
  readonly valueOptional?: true;
  /** @param texts what was given, in order, at least one; scalars take the last */
  fromFlag(texts: readonly string[]): Read<T>;
  /** @param value as YAML gave it; never null or undefined */
  fromField(value: unknown): Read<T>;
  /** As a person would write it. */
  format(value: T): string;
}

export function readable<T>(value: T): Read<T> {
  return { ok: true, value };
}

export function unreadable(value: unknown, why: string): { readonly ok: false; why: string } {
  return { ok: false, why: `${quote(value)} ${why}` };
}

/** A type whose flag text and file text read alike; other YAML values are refused. */
export function textual<T>(
  name: string,
  parse: (text: string) => Read<T>,
  format: (value: T) => string,
): ValueType<T> {
  return {
    name,
    fromFlag: (texts) => parse(texts.at(-1) ?? ""),
    fromField: (value) =>
      typeof value === "string" ? parse(value) : unreadable(value, `is not a ${name}; quote it`),
    format,
  };
}

export const textType: ValueType<string> = textual("string", readable, (value) => value);

/** One of a few words. */
export function choiceType<const T extends string>(...words: readonly T[]): ValueType<T> {
  return textual(
    words.join("|"),
    (text) => {
      const word = words.find((candidate) => candidate === text);
      if (word !== undefined) return readable(word);
      return unreadable(text, `is not known; use ${orList(words)}`);
    },
    (value) => value,
  );
}

const TRUE_WORDS = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const FALSE_WORDS = new Set(["0", "f", "F", "false", "FALSE", "False"]);

export const booleanType: ValueType<boolean> = {
  name: "boolean",
  valueOptional: true,
  fromFlag(texts) {
    const text = texts.at(-1) ?? "";
    if (TRUE_WORDS.has(text)) return readable(true);
    if (FALSE_WORDS.has(text)) return readable(false);
    return unreadable(text, "is not a boolean; use true or false");
  },
  fromField: (value) =>
    typeof value === "boolean"
      ? readable(value)
      : unreadable(value, "is not a boolean; use true or false"),
  format: String,
};

/** A whole number within [min, max]. Flags also take `0x…`, as Go does. */
export function integerType(range: { readonly min: number; readonly max: number }) {
  const check = (value: number, raw: unknown): Read<number> => {
    if (!Number.isInteger(value)) return unreadable(raw, "is not a whole number");
    if (value >= range.min && value <= range.max) return readable(value);
    return unreadable(raw, `is out of range; use ${range.min} to ${range.max}`);
  };
  const type: ValueType<number> = {
    name: "integer",
    fromFlag(texts) {
      const text = texts.at(-1) ?? "";
      return check(/^([+-]?\d+|0x[\da-f]+)$/i.test(text) ? Number(text) : Number.NaN, text);
    },
    fromField: (value) => check(typeof value === "number" ? value : Number.NaN, value),
    format: String,
  };
  return type;
}

export const decimalType: ValueType<number> = {
  name: "number",
  fromFlag(texts) {
    const text = texts.at(-1) ?? "";
    const value = /\d/.test(text) ? Number(text) : Number.NaN;
    return Number.isFinite(value) ? readable(value) : unreadable(text, "is not a number");
  },
  fromField: (value) =>
    typeof value === "number" && Number.isFinite(value)
      ? readable(value)
      : unreadable(value, "is not a number"),
  format: String,
};

const DURATION_HINT = "is not a duration; write it like 10ms, 30s or 1h30m";

/** Milliseconds, at least `minMs`, written as Go durations. A file may say a bare 0. */
export function durationType(minMs: number): ValueType<number> {
  const parse = (text: string): Read<number> => {
    const durationMs = parseGoDuration(text);
    if (durationMs === undefined) return unreadable(text, DURATION_HINT);
    if (durationMs >= minMs) return readable(durationMs);
    return unreadable(text, `is too short; use ${formatGoDuration(minMs)} or more`);
  };
  const type = textual("duration", parse, formatGoDuration);
  return {
    ...type,
    fromField: (value) =>
      typeof value === "string" || value === 0
        ? parse(String(value))
        : unreadable(value, DURATION_HINT),
  };
}

/** Texts; a flag takes them comma-separated, repeated flags add up. */
export const listType: ValueType<readonly string[]> = {
  name: "list",
  fromFlag: (texts) => readable(texts.flatMap(splitList)),
  fromField(value) {
    if (!Array.isArray(value)) return unreadable(value, "is not a list");
    const texts = value.filter((item) => typeof item === "string");
    return texts.length === value.length ? readable(texts) : unreadable(value, "must list texts");
  },
  format: (value) => value.join(","),
};

/** Names switched on or off: `A=true,B=false`, or a map in a file. */
export const switchesType: ValueType<ReadonlyMap<string, boolean>> = {
  name: "name=boolean list",
  fromFlag(texts) {
    const switches = new Map<string, boolean>();
    for (const item of texts.flatMap(splitList)) {
      const [name = "", word = ""] = item.split("=", 2);
      const value = booleanType.fromFlag([word.trim()]);
      if (!value.ok) return unreadable(item, "is not of the form Name=true or Name=false");
      switches.set(name.trim(), value.value);
    }
    return readable(switches);
  },
  fromField(value) {
    if (typeof value !== "object" || value === null) return unreadable(value, "is not a map");
    const switches = new Map<string, boolean>();
    for (const [name, on] of Object.entries(value)) {
      if (typeof on !== "boolean") return unreadable(on, `is not a boolean for ${quote(name)}`);
      switches.set(name, on);
    }
    return readable(switches);
  },
  format: (value) => [...value].map(([name, on]) => `${name}=${on}`).join(","),
};

/** A value that nobody reads: taken as it comes, so that the file stays valid. */
export const anyType: ValueType<string> = {
  name: "string",
  fromFlag: (texts) => readable(texts.join(",")),
  fromField: (value) => readable(typeof value === "string" ? value : quote(value)),
  format: (value) => value,
};

function splitList(text: string): string[] {
  return text === "" ? [] : text.split(",").map((item) => item.trim());
}

/** `a, b or c` */
function orList(words: readonly string[]): string {
  return words.join(", ").replace(/, ([^,]*)$/, " or $1");
}

function quote(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}
