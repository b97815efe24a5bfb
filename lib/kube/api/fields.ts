// Reading fields of unknown JSON: total, and frugal with the problems it collects.

import { isReservedAddress, parseAddress } from "../../ip/address.ts";
import type { Problem } from "./parsed.ts";

export type JsonRecord = Readonly<Record<string, unknown>>;

/** More problems than this in one object are only counted. */
export const MAX_PROBLEMS_PER_OBJECT = 16;

/** Collects what is wrong with one object. */
export interface ProblemList {
  readonly subject: string;
  add(field: string, message: string): void;
  /** At most MAX_PROBLEMS_PER_OBJECT, and one more that counts the rest. */
  take(): readonly Problem[];
}

const NONE: readonly Problem[] = [];
const EMPTY: JsonRecord = {};

export function makeProblemList(subject: string): ProblemList {
  let problems: Problem[] | undefined;
  let dropped = 0;
  return {
    subject,
    add(field, message) {
      problems ??= [];
      if (problems.length < MAX_PROBLEMS_PER_OBJECT) {
        problems.push({ object: subject, field, message });
      } else {
        dropped++;
      }
    },
    take() {
      if (problems === undefined) return NONE;
      if (dropped === 0) return problems;
      return [...problems, { object: subject, field: "", message: `${dropped} more problems` }];
    },
  };
}

/** The value as an object; an empty one when it is anything else. */
export function asRecord(value: unknown): JsonRecord {
  return isRecord(value) ? value : EMPTY;
}

/** The value as a list; an empty one when it is anything else. */
export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The value as text; "" when it is anything else. */
export function asText(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function isRecord(value: unknown): value is JsonRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A port number, 1–65535, or undefined. */
export function asPort(value: unknown): number | undefined {
  const valid = typeof value === "number" && Number.isInteger(value) && value > 0 && value < 65536;
  return valid ? value : undefined;
}

/** The record's text values; keys with other values are dropped. */
export function textRecord(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(asRecord(value));
  // fromEntries makes own properties of every key, `__proto__` too.
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

/** A value for an error text: short, quoted, safe for cyclic and huge values. */
export function formatValue(value: unknown): string {
  if (typeof value === "string") return escaped(JSON.stringify(value.slice(0, 64)));
  if (typeof value === "object" && value !== null) {
    return Array.isArray(value) ? "a list" : "an object";
  }
  return String(value);
}

/** What moves a terminal's cursor, ends a line, or turns text around. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** The text with whatever a terminal or a log would not print as `\u001b`. */
export function escaped(text: string): string {
  const unit = (one: string): string => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return text.replace(UNPRINTABLE, (found) => found.split("").map(unit).join(""));
}

/**
 * Reads an address that packets may be sent to: canonical, and not reserved, so that no object
 * can point traffic at a node's own loopback or at link-local services (threat T14).
 * @returns undefined, with a problem, when it is none
 */
export function readAddress(
  value: unknown,
  field: string,
  problems: ProblemList,
): string | undefined {
  const address = parseAddress(value);
  if (address === undefined) {
    problems.add(field, `want an IP address: got ${formatValue(value)}`);
    return undefined;
  }
  if (isReservedAddress(address)) {
    problems.add(
      field,
      `want an address that is not loopback, link-local, multicast or unspecified: got ${address}`,
    );
    return undefined;
  }
  return address;
}
