// The small languages inside routes: durations (GEP-2257), names and values of header fields,
// paths, hostnames, and matches of headers and query parameters. What is written into heads of
// requests and responses is checked here, so that no object can smuggle a line into one.

import { asRecord, formatValue } from "./fields.ts";
import { type RuleReader, readRuleList } from "./route-fields.ts";

/** All that is given must match; of one name only the first counts. */
export interface NameMatch {
  /** Of headers: lower-case. */
  readonly name: string;
  readonly kind: "exact" | "regex";
  readonly value: string;
}

const MAX_MATCHES = 16;
const MAX_HEADER_VALUE_LENGTH = 4_096;
const MAX_QUERY_VALUE_LENGTH = 1_024;
const MAX_PATH_LENGTH = 1_024;

const TOKEN = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}$/;
const FIELD_VALUE = /^[!-~](?:[\t -~]*[!-~])?$/;
const HOSTNAME = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const PATH_CHARACTERS = /^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*$/;
const DURATION = /^(?:[0-9]{1,5}(?:h|m|s|ms)){1,4}$/;
const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

/** A header name, lower-case; undefined when it is none. */
export function asHeaderName(value: unknown): string | undefined {
  return typeof value === "string" && TOKEN.test(value) ? value.toLowerCase() : undefined;
}

/** True for what may stand in a header field: printable ASCII, blanks inside only. */
export function isFieldValue(value: unknown): value is string {
  if (typeof value !== "string" || value.length > MAX_HEADER_VALUE_LENGTH) return false;
  return FIELD_VALUE.test(value);
}

/** A hostname without wildcard, lower-case, as the API writes it. */
export function isHostname(value: unknown): value is string {
  return typeof value === "string" && value.length <= 253 && HOSTNAME.test(value);
}

/** A hostname that may begin with `*.`. */
export function isRouteHostname(value: unknown): value is string {
  return isHostname(typeof value === "string" && value.startsWith("*.") ? value.slice(2) : value);
}

/**
 * True for an absolute path in the one form that the API allows: no dot segments, no empty
 * segments, no encoded slash, nothing after it.
 */
export function isRoutePath(value: unknown): value is string {
  return (
    typeof value === "string" &&
    value.length <= MAX_PATH_LENGTH &&
    value.startsWith("/") &&
    PATH_CHARACTERS.test(value) &&
    !/\/\/|\/\.\.?(?:\/|$)|%2[fF]/.test(value)
  );
}

/** A duration of GEP-2257 in milliseconds; undefined when it is none. */
export function parseDuration(value: unknown): number | undefined {
  if (typeof value !== "string" || !DURATION.test(value)) return undefined;
  let durationMs = 0;
  for (const [, count, unit = ""] of value.matchAll(/([0-9]+)(ms|h|m|s)/g)) {
    durationMs += Number(count) * (UNIT_MS[unit] ?? 0);
  }
  return durationMs;
}

/** An optional duration of a rule, in milliseconds. */
export function readDuration(value: unknown, field: string, rule: RuleReader): number | undefined {
  if (value === undefined || value === null) return undefined;
  const durationMs = parseDuration(value);
  if (durationMs !== undefined) return durationMs;
  return rule.reject(field, `want a duration like 1m30s: got ${formatValue(value)}`);
}

export function readHeaderMatches(
  value: unknown,
  field: string,
  rule: RuleReader,
): readonly NameMatch[] {
  return readMatches(value, field, rule, MAX_HEADER_VALUE_LENGTH, asHeaderName);
}

export function readQueryMatches(
  value: unknown,
  field: string,
  rule: RuleReader,
): readonly NameMatch[] {
  const asName = (name: unknown): string | undefined =>
    typeof name === "string" && TOKEN.test(name) ? name : undefined;
  return readMatches(value, field, rule, MAX_QUERY_VALUE_LENGTH, asName);
}

function readMatches(
  value: unknown,
  field: string,
  rule: RuleReader,
  maxLength: number,
  asName: (value: unknown) => string | undefined,
): readonly NameMatch[] {
  const matches = new Map<string, NameMatch>();
  for (const [i, item] of readRuleList(value, field, MAX_MATCHES, rule).entries()) {
    const fields = asRecord(item);
    const name = asName(fields["name"]);
    const kind = readMatchType(fields["type"], `${field}[${i}].type`, rule);
    const wanted = fields["value"];
    if (name === undefined) {
      rule.reject(`${field}[${i}].name`, `want a name: got ${formatValue(fields["name"])}`);
    } else if (typeof wanted !== "string" || wanted === "" || wanted.length > maxLength) {
      const got = formatValue(wanted);
      rule.reject(`${field}[${i}].value`, `want 1 to ${maxLength} characters: got ${got}`);
    } else if (kind !== undefined && !matches.has(name)) {
      matches.set(name, { name, kind, value: wanted });
    }
  }
  return [...matches.values()];
}

/** `Exact` where nothing is said. */
export function readMatchType(
  value: unknown,
  field: string,
  rule: RuleReader,
): NameMatch["kind"] | undefined {
  const type = value ?? "Exact";
  if (type === "Exact") return "exact";
  if (type === "RegularExpression") return "regex";
  return rule.reject(field, `want Exact or RegularExpression: got ${formatValue(type)}`);
}
