// The CORS filter of an HTTPRoute (GEP-1767).

import { formatValue, type JsonRecord } from "./fields.ts";
import { type RuleReader, readRuleList } from "./route-fields.ts";
import { asHeaderName } from "./route-values.ts";

export interface HttpCorsPolicy {
  /** `*`, or origins such as `https://*.example.com:8443`, lower-case. */
  readonly allowOrigins: readonly string[];
  readonly allowCredentials: boolean;
  /** `*`, or methods. */
  readonly allowMethods: readonly string[];
  /** `*`, or names, lower-case. */
  readonly allowHeaders: readonly string[];
  readonly exposeHeaders: readonly string[];
  readonly maxAgeSeconds: number;
}

const MAX_ITEMS = 64;
const DEFAULT_MAX_AGE_SECONDS = 5;
const MAX_AGE_SECONDS = 2 ** 31 - 1;
const ORIGIN = /^https?:\/\/(?:(?:\*\.)?(?:[a-z0-9-]+\.)*[a-z0-9-]+|\*)(?::[0-9]{1,5})?$/;
const METHODS = "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH".split(" ");

export function readCorsPolicy(
  fields: JsonRecord,
  field: string,
  rule: RuleReader,
): HttpCorsPolicy {
  const read = (
    name: string,
    want: string,
    parse: (value: string) => string | undefined,
  ): readonly string[] => {
    const values = readRuleList(fields[name], `${field}.${name}`, MAX_ITEMS, rule);
    return values.flatMap((value, i) => {
      const text = typeof value === "string" && value.length <= 253 ? value : "";
      const parsed = text === "*" ? text : parse(text);
      if (parsed !== undefined && (text !== "*" || values.length === 1)) return [parsed];
      rule.reject(`${field}.${name}[${i}]`, `want ${want}, or * alone: got ${formatValue(value)}`);
      return [];
    });
  };
  const origin = (text: string): string | undefined =>
    ORIGIN.test(text.toLowerCase()) ? text.toLowerCase() : undefined;
  const method = (text: string): string | undefined => (METHODS.includes(text) ? text : undefined);
  const maxAge = fields["maxAge"] ?? DEFAULT_MAX_AGE_SECONDS;
  const valid = Number.isInteger(maxAge) && Number(maxAge) >= 1;
  if (!valid || Number(maxAge) > MAX_AGE_SECONDS) {
    rule.reject(`${field}.maxAge`, `want seconds, at least 1: got ${formatValue(maxAge)}`);
  }
  return {
    allowOrigins: read("allowOrigins", "an origin like https://a.example", origin),
    allowCredentials: fields["allowCredentials"] === true,
    allowMethods: read("allowMethods", "a method", method),
    allowHeaders: read("allowHeaders", "a header name", asHeaderName),
    exposeHeaders: read("exposeHeaders", "a header name", asHeaderName),
    maxAgeSeconds: valid ? Number(maxAge) : DEFAULT_MAX_AGE_SECONDS,
  };
}
