// Session persistence of a route rule (GEP-1619).

import { asRecord, formatValue } from "./fields.ts";
import type { RuleReader } from "./route-fields.ts";
import { asHeaderName, readDuration } from "./route-values.ts";

export interface RouteSessionPersistence {
  readonly kind: "cookie" | "header";
  /** Undefined: the planner makes one up. Of headers: lower-case. */
  readonly name?: string;
  readonly absoluteTimeoutMs?: number;
  /** The cookie outlives the browser's session, as long as `absoluteTimeoutMs`. */
  readonly permanent: boolean;
}

const MAX_NAME_LENGTH = 128;

export function readSessionPersistence(
  value: unknown,
  ruleField: string,
  rule: RuleReader,
): RouteSessionPersistence | undefined {
  if (value === undefined || value === null) return undefined;
  const fields = asRecord(value);
  const field = `${ruleField}.sessionPersistence`;
  const type = fields["type"] ?? "Cookie";
  if (type !== "Cookie" && type !== "Header") {
    return rule.reject(`${field}.type`, `want Cookie or Header: got ${formatValue(type)}`);
  }
  const kind = type === "Cookie" ? "cookie" : "header";
  const given = fields["sessionName"] ?? undefined;
  const token = asHeaderName(given);
  if (given !== undefined && (token === undefined || token.length > MAX_NAME_LENGTH)) {
    return rule.reject(`${field}.sessionName`, `want a name: got ${formatValue(given)}`);
  }
  // Names of cookies keep their case.
  const name = kind === "cookie" && typeof given === "string" ? given : token;
  const timeout = readDuration(fields["absoluteTimeout"], `${field}.absoluteTimeout`, rule);
  const lifetime = asRecord(fields["cookieConfig"])["lifetimeType"] ?? "Session";
  if (lifetime !== "Session" && lifetime !== "Permanent") {
    const got = formatValue(lifetime);
    const at = `${field}.cookieConfig.lifetimeType`;
    return rule.reject(at, `want Session or Permanent: got ${got}`);
  }
  const permanent = lifetime === "Permanent";
  if (permanent && timeout === undefined) {
    return rule.reject(`${field}.absoluteTimeout`, "want one beside lifetimeType Permanent");
  }
  return {
    kind,
    ...(name !== undefined && { name }),
    ...(timeout !== undefined && { absoluteTimeoutMs: timeout }),
    permanent,
  };
}
