// gateway.networking.k8s.io/v1 GRPCRoute: the fields Innermesh reads, checked at the edge.

import { asRecord, formatValue, type JsonRecord } from "./fields.ts";
import { invalidObject, readHead } from "./head.ts";
import { type HttpBackendRef, makeMatchReader } from "./http-route.ts";
import { type HttpRouteFilter, readFilters } from "./http-route-filter.ts";
import type { Parsed } from "./parsed.ts";
import {
  type RouteIdentity,
  type RouteRuleBase,
  type RuleReader,
  readBackendRefs,
  readRouteIdentity,
  readRuleList,
  readRules,
} from "./route-fields.ts";
import { type RouteSessionPersistence, readSessionPersistence } from "./route-session.ts";
import { type NameMatch, readHeaderMatches, readMatchType } from "./route-values.ts";

export interface GrpcRoute extends RouteIdentity {
  readonly kind: "GRPCRoute";
  readonly rules: readonly GrpcRouteRule[];
}

/** In a rule with a fault, matches that could not be read are missing. */
export interface GrpcRouteRule extends RouteRuleBase {
  readonly matches: readonly GrpcRouteMatch[];
  readonly filters: readonly HttpRouteFilter[];
  readonly backendRefs: readonly HttpBackendRef[];
  readonly sessionPersistence?: RouteSessionPersistence;
}

export interface GrpcRouteMatch {
  /** Undefined: every service and method. */
  readonly method?: GrpcMethodMatch;
  readonly headers: readonly NameMatch[];
}

/** At least one of the two is there. */
export interface GrpcMethodMatch {
  readonly kind: "exact" | "regex";
  readonly service?: string;
  readonly method?: string;
}

const MAX_RULES = 16;
const MAX_MATCHES = 64;
const MAX_LENGTH = 1_024;
const SERVICE = /^\.?[A-Za-z_][A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*)*$/;
const METHOD = /^[A-Za-z_][A-Za-z_0-9]*$/;

/** Reads a GRPCRoute. Never throws; as for HTTPRoutes, a rule that cannot be honoured says why. */
export function parseGrpcRoute(value: unknown): Parsed<GrpcRoute> {
  const head = readHead("GRPCRoute", "namespaced", value);
  if (head.kind === "invalid") return head;
  const identity = readRouteIdentity(head);
  const rules = readRules(head, head.spec["rules"], MAX_RULES, readRule);
  if (identity === undefined || rules === undefined) return invalidObject(head);
  const object: GrpcRoute = { kind: "GRPCRoute", ...identity, rules };
  return { kind: "ok", object, problems: head.problems.take() };
}

function readRule(
  fields: JsonRecord,
  field: string,
  rule: RuleReader,
): Omit<GrpcRouteRule, keyof RouteRuleBase> {
  const list = readRuleList(fields["matches"], `${field}.matches`, MAX_MATCHES, rule);
  const all = rule.fault === undefined && list.length === 0;
  const matches = list.flatMap((item, i) =>
    readMatch(asRecord(item), `${field}.matches[${i}]`, rule),
  );
  const session = readSessionPersistence(fields["sessionPersistence"], field, rule);
  return {
    matches: all ? [{ headers: [] }] : matches,
    filters: readFilters(fields["filters"], `${field}.filters`, rule, "GRPCRoute"),
    backendRefs: readBackendRefs(
      fields["backendRefs"],
      `${field}.backendRefs`,
      rule,
      (backend, at) => ({
        filters: readFilters(backend["filters"], `${at}.filters`, rule, "GRPCRoute"),
      }),
    ),
    ...(session !== undefined && { sessionPersistence: session }),
  };
}

function readMatch(fields: JsonRecord, field: string, rule: RuleReader): readonly GrpcRouteMatch[] {
  const one = makeMatchReader(rule);
  const headers = readHeaderMatches(fields["headers"], `${field}.headers`, one);
  const given = fields["method"] ?? undefined;
  const method =
    given === undefined ? undefined : readMethod(asRecord(given), `${field}.method`, one);
  return one.failed ? [] : [{ headers, ...(method !== undefined && { method }) }];
}

function readMethod(
  fields: JsonRecord,
  field: string,
  rule: RuleReader,
): GrpcMethodMatch | undefined {
  const kind = readMatchType(fields["type"], `${field}.type`, rule);
  const read = (name: "service" | "method", pattern: RegExp): string | undefined => {
    const value = fields[name] ?? "";
    const short = typeof value === "string" && value.length <= MAX_LENGTH;
    if (short && (value === "" || kind === "regex" || pattern.test(value))) return value;
    return rule.reject(`${field}.${name}`, `want a ${name} name: got ${formatValue(value)}`);
  };
  const service = read("service", SERVICE);
  const method = read("method", METHOD);
  if (!service && !method) return rule.reject(field, "want a service or a method: got neither");
  return kind && { kind, ...(service && { service }), ...(method && { method }) };
}
