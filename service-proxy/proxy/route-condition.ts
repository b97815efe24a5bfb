// What a rule asks of a request beside its path, compiled: method, host, headers, query.

import assert from "node:assert/strict";
import { type FieldLines, type RequestHead } from "../../lib/http/message.ts";
import { compileRegex } from "../model/route-regex.ts";
import type { RouteMatch, ValueMatch } from "../model/route-table.ts";

/** True for requests that the rule is for, once their path is known to match. */
export type Condition = (head: RequestHead) => boolean;

/** Undefined where nothing is asked. */
export function compileCondition(match: RouteMatch): Condition | undefined {
  const { method, hostnames, headers, queryParams } = match;
  const conditions: Condition[] = [];
  if (method !== undefined) conditions.push((head) => head.method === method);
  if (hostnames.length > 0) conditions.push((head) => matchesHost(hostOf(head), hostnames));
  for (const header of headers) {
    const test = compileValue(header);
    const { name } = header;
    conditions.push((head) => {
      const value = headerValue(head, name);
      return value !== undefined && test(value);
    });
  }
  for (const parameter of queryParams) {
    const test = compileValue(parameter);
    const { name } = parameter;
    conditions.push((head) => {
      const value = queryValue(head.path, name);
      return value !== undefined && test(value);
    });
  }
  if (conditions.length === 0) return undefined;
  return (head) => {
    for (const condition of conditions) if (!condition(head)) return false;
    return true;
  };
}

/** @returns the test of an expression that the planner has checked */
export function compileCheckedRegex(pattern: string): (text: string) => boolean {
  const regex = compileRegex(pattern);
  assert.ok(regex.kind === "regex", `the planner lets no bad expression pass: ${pattern}`);
  return (text) => regex.test(text);
}

function compileValue({ kind, value }: ValueMatch): (text: string) => boolean {
  if (kind === "regex") return compileCheckedRegex(value);
  return (text) => text === value;
}

/** Lines of one name are one value, joined by commas (RFC 9110 §5.3); Host is the authority. */
export function headerValue(head: RequestHead, name: string): string | undefined {
  if (name === "host") return head.authority === "" ? undefined : head.authority;
  const fields: FieldLines = head.fields;
  let value: string | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== name) continue;
    const line = fields[i + 1] ?? "";
    value = value === undefined ? line : `${value},${line}`;
  }
  return value;
}

/** The authority without its port and final dot, lower-case. */
export function hostOf({ authority }: Pick<RequestHead, "authority">): string {
  const portAt = authority.indexOf(":", authority.indexOf("]") + 1);
  const host = portAt === -1 ? authority : authority.slice(0, portAt);
  return (host.endsWith(".") ? host.slice(0, -1) : host).toLowerCase();
}

function matchesHost(host: string, hostnames: readonly string[]): boolean {
  return hostnames.some((hostname) =>
    hostname.startsWith("*.")
      ? host.length >= hostname.length && host.endsWith(hostname.slice(1))
      : host === hostname,
  );
}

/** The first value of a query parameter, decoded; undefined when there is none. */
export function queryValue(path: string, name: string): string | undefined {
  let start = path.indexOf("?") + 1;
  if (start === 0) return undefined;
  while (start <= path.length) {
    const next = path.indexOf("&", start);
    const end = next === -1 ? path.length : next;
    const equals = path.indexOf("=", start);
    const nameEnd = equals === -1 || equals > end ? end : equals;
    if (nameEnd > start && decodeQuery(path.slice(start, nameEnd)) === name) {
      return decodeQuery(path.slice(Math.min(nameEnd + 1, end), end));
    }
    start = end + 1;
  }
  return undefined;
}

/** What cannot be decoded stands for itself. */
function decodeQuery(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}
