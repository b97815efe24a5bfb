// gateway.networking.k8s.io/v1 HTTPRoute: the fields Innermesh reads, checked at the edge.

import { asRecord, asText, formatValue, type JsonRecord } from "./fields.ts";
import { invalidObject, readHead } from "./head.ts";
import { type HttpRouteFilter, readFilters } from "./http-route-filter.ts";
import type { Parsed } from "./parsed.ts";
import {
  type BackendRef,
  type RouteIdentity,
  type RouteRuleBase,
  type RuleReader,
  readBackendRefs,
  readRouteIdentity,
  readRuleList,
  readRules,
} from "./route-fields.ts";
import { type RouteSessionPersistence, readSessionPersistence } from "./route-session.ts";
import {
  isRoutePath,
  type NameMatch,
  readDuration,
  readHeaderMatches,
  readQueryMatches,
} from "./route-values.ts";

export interface HttpRoute extends RouteIdentity {
  readonly kind: "HTTPRoute";
  readonly rules: readonly HttpRouteRule[];
}

/** In a rule with a fault, matches that could not be read are missing. */
export interface HttpRouteRule extends RouteRuleBase {
  readonly matches: readonly HttpRouteMatch[];
  readonly filters: readonly HttpRouteFilter[];
  readonly backendRefs: readonly HttpBackendRef[];
  readonly timeouts: HttpRouteTimeouts;
  readonly retry?: HttpRouteRetry;
  readonly sessionPersistence?: RouteSessionPersistence;
}

export interface HttpRouteMatch {
  readonly path: HttpPathMatch;
  readonly method?: string;
  readonly headers: readonly NameMatch[];
  readonly queryParams: readonly NameMatch[];
}

export interface HttpPathMatch {
  readonly kind: "exact" | "prefix" | "regex";
  readonly value: string;
}

export interface HttpBackendRef extends BackendRef {
  readonly filters: readonly HttpRouteFilter[];
}

/** Undefined: not said; 0: none. */
export interface HttpRouteTimeouts {
  readonly requestMs?: number;
  readonly backendRequestMs?: number;
}

/** GEP-1731; what is not said has the defaults below. */
export interface HttpRouteRetry {
  readonly statusCodes: readonly number[];
  readonly attempts: number;
  readonly backoffMs: number;
}

const MAX_RULES = 16;
const MAX_MATCHES = 64;
const MAX_RETRY_CODES = 200;
const MAX_REGEX_LENGTH = 1_024;
/** More is a way to multiply an outage; the retry budget bounds the rest. */
export const MAX_RETRY_ATTEMPTS = 10;
const DEFAULT_RETRY = { attempts: 1, backoffMs: 25 };
const METHODS = "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH".split(" ");

/**
 * Reads an HTTPRoute. Never throws. A rule that cannot be honoured keeps its place and says why;
 * a route with more parents or rules than the API allows is invalid. Hostnames are not read:
 * routes of Services do not match by them (GEP-1294).
 */
export function parseHttpRoute(value: unknown): Parsed<HttpRoute> {
  const head = readHead("HTTPRoute", "namespaced", value);
  if (head.kind === "invalid") return head;
  const identity = readRouteIdentity(head);
  // The API's default: one rule for all requests, without backends.
  const rules = readRules(head, head.spec["rules"] ?? [{}], MAX_RULES, readRule);
  if (identity === undefined || rules === undefined) return invalidObject(head);
  const object: HttpRoute = { kind: "HTTPRoute", ...identity, rules };
  return { kind: "ok", object, problems: head.problems.take() };
}

function readRule(
  fields: JsonRecord,
  field: string,
  rule: RuleReader,
): Omit<HttpRouteRule, keyof RouteRuleBase> {
  const matches = readMatches(fields["matches"], `${field}.matches`, rule);
  const filters = readFilters(fields["filters"], `${field}.filters`, rule, "HTTPRoute");
  const backendRefs = readBackendRefs(
    fields["backendRefs"],
    `${field}.backendRefs`,
    rule,
    (backend, at) => ({
      filters: readFilters(backend["filters"], `${at}.filters`, rule, "HTTPRoute backend"),
    }),
  );
  if (backendRefs.length > 0 && filters.some(({ kind }) => kind === "redirect")) {
    const message = "want RequestRedirect or backendRefs: got both";
    rule.reject(`${field}.filters`, message, "IncompatibleFilters");
  }
  const everywhere = [...filters, ...backendRefs.flatMap((backend) => backend.filters)];
  if (everywhere.some(replacesPrefix) && (matches.length !== 1 || !isPrefix(matches[0]))) {
    const message = "want exactly one PathPrefix match beside replacePrefixMatch";
    rule.reject(`${field}.matches`, message);
  }
  const retry = readRetry(fields["retry"], `${field}.retry`, rule);
  const session = readSessionPersistence(fields["sessionPersistence"], field, rule);
  return {
    matches,
    filters,
    backendRefs,
    timeouts: readTimeouts(asRecord(fields["timeouts"]), `${field}.timeouts`, rule),
    ...(retry !== undefined && { retry }),
    ...(session !== undefined && { sessionPersistence: session }),
  };
}

function replacesPrefix(filter: HttpRouteFilter): boolean {
  const changes = filter.kind === "redirect" || filter.kind === "rewrite";
  return changes && filter.path?.kind === "prefix";
}

function isPrefix(match: HttpRouteMatch | undefined): boolean {
  return match?.path.kind === "prefix";
}

function readMatches(value: unknown, field: string, rule: RuleReader): readonly HttpRouteMatch[] {
  const list = readRuleList(value, field, MAX_MATCHES, rule);
  // Too long a list is a fault, and must not turn into the default, which matches everything.
  if (rule.fault === undefined && list.length === 0) return [readMatch({}, field, rule)].flat();
  return list.flatMap((item, i) => readMatch(asRecord(item), `${field}[${i}]`, rule));
}

/** One match, or none where a part of it cannot be read: without the part it would match more. */
function readMatch(fields: JsonRecord, field: string, rule: RuleReader): readonly HttpRouteMatch[] {
  const one = makeMatchReader(rule);
  const path = readPath(asRecord(fields["path"]), `${field}.path`, one);
  const headers = readHeaderMatches(fields["headers"], `${field}.headers`, one);
  const queryParams = readQueryMatches(fields["queryParams"], `${field}.queryParams`, one);
  const method = fields["method"] ?? undefined;
  if (method !== undefined && !METHODS.includes(asText(method))) {
    one.reject(`${field}.method`, `want a method like GET: got ${formatValue(method)}`);
  }
  if (one.failed || path === undefined) return [];
  return [{ path, headers, queryParams, ...(typeof method === "string" && { method }) }];
}

/** The rule's reader, which also knows whether this match was refused. */
export function makeMatchReader(rule: RuleReader): RuleReader & { readonly failed: boolean } {
  let failed = false;
  return {
    namespace: rule.namespace,
    reject(field, message, reason) {
      failed = true;
      return rule.reject(field, message, reason);
    },
    get fault() {
      return rule.fault;
    },
    get failed() {
      return failed;
    },
  };
}

function readPath(fields: JsonRecord, field: string, rule: RuleReader): HttpPathMatch | undefined {
  const type = fields["type"] ?? "PathPrefix";
  const value = fields["value"] ?? "/";
  if (type === "RegularExpression") {
    // Whether it is one is for the engine to say.
    if (typeof value === "string" && value !== "" && value.length <= MAX_REGEX_LENGTH) {
      return { kind: "regex", value };
    }
    const got = formatValue(value);
    return rule.reject(`${field}.value`, `want at most ${MAX_REGEX_LENGTH} characters: got ${got}`);
  }
  if (type !== "Exact" && type !== "PathPrefix") {
    const want = "Exact, PathPrefix or RegularExpression";
    return rule.reject(`${field}.type`, `want ${want}: got ${formatValue(type)}`);
  }
  if (!isRoutePath(value)) {
    const want = "a path like /a/b, without // and dot segments";
    return rule.reject(`${field}.value`, `want ${want}: got ${formatValue(value)}`);
  }
  return { kind: type === "Exact" ? "exact" : "prefix", value };
}

function readTimeouts(fields: JsonRecord, field: string, rule: RuleReader): HttpRouteTimeouts {
  const requestMs = readDuration(fields["request"], `${field}.request`, rule);
  const backendRequestMs = readDuration(fields["backendRequest"], `${field}.backendRequest`, rule);
  if (requestMs !== undefined && requestMs > 0 && (backendRequestMs ?? 0) > requestMs) {
    rule.reject(`${field}.backendRequest`, "want no more than request: got more");
  }
  return {
    ...(requestMs !== undefined && { requestMs }),
    ...(backendRequestMs !== undefined && { backendRequestMs }),
  };
}

function readRetry(value: unknown, field: string, rule: RuleReader): HttpRouteRetry | undefined {
  if (value === undefined || value === null) return undefined;
  const fields = asRecord(value);
  const codes = readRuleList(fields["codes"], `${field}.codes`, MAX_RETRY_CODES, rule);
  const statusCodes = codes.flatMap((code, i) => {
    if (Number.isInteger(code) && Number(code) >= 400 && Number(code) <= 599) return [Number(code)];
    rule.reject(`${field}.codes[${i}]`, `want a status, 400 to 599: got ${formatValue(code)}`);
    return [];
  });
  const attempts = fields["attempts"] ?? DEFAULT_RETRY.attempts;
  if (!Number.isInteger(attempts) || Number(attempts) < 1) {
    rule.reject(`${field}.attempts`, `want at least 1: got ${formatValue(attempts)}`);
  }
  const backoffMs = readDuration(fields["backoff"], `${field}.backoff`, rule);
  return {
    statusCodes: [...new Set(statusCodes)],
    attempts: Math.min(Math.max(Number(attempts) || 1, 1), MAX_RETRY_ATTEMPTS),
    backoffMs: backoffMs ?? DEFAULT_RETRY.backoffMs,
  };
}
