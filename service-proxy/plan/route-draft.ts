// One HTTPRoute or GRPCRoute by itself, before parents and backends are looked up: its matches in
// normal form, each with its rank, and its faults, those of regular expressions included.

import type { GrpcMethodMatch, GrpcRoute, GrpcRouteMatch } from "../../lib/kube/api/grpc-route.ts";
import type {
  HttpBackendRef,
  HttpRoute,
  HttpRouteMatch,
  HttpRouteRule,
} from "../../lib/kube/api/http-route.ts";
import type { HttpRouteFilter } from "../../lib/kube/api/http-route-filter.ts";
import type { RouteIdentity, RuleFault } from "../../lib/kube/api/route-fields.ts";
import type { RouteSessionPersistence } from "../../lib/kube/api/route-session.ts";
import { normalisePath } from "../model/route-path.ts";
import { compileRegex } from "../model/route-regex.ts";
import type {
  PathMatch,
  RouteMatch,
  RouteRule,
  RouteTimeouts,
  SessionPersistence,
  ValueMatch,
} from "../model/route-table.ts";

export interface RouteDraft {
  readonly route: HttpRoute | GrpcRoute;
  readonly rules: readonly RuleDraft[];
}

export interface RuleDraft {
  readonly name: string;
  readonly matches: readonly RankedMatch[];
  readonly filters: readonly HttpRouteFilter[];
  readonly backendRefs: readonly HttpBackendRef[];
  readonly timeouts: RouteTimeouts;
  readonly retry?: NonNullable<RouteRule["retry"]>;
  readonly sessionPersistence?: SessionPersistence;
  /** The rule cannot be honoured: what it matches is answered 500. */
  readonly fault?: RuleFault;
}

export interface RankedMatch {
  readonly match: RouteMatch;
  /** Compared number by number, the larger first. */
  readonly rank: readonly number[];
}

/** Expressions of one route: each costs time to compile here, and to match for every request. */
export const MAX_EXPRESSIONS = 32;

/** Never throws. */
export function draftRoute(route: HttpRoute | GrpcRoute): RouteDraft {
  const badExpressionIn = makeExpressionCheck();
  const rules =
    route.kind === "HTTPRoute"
      ? route.rules.map((rule, i) => {
          const matches = rule.matches.map(fromHttpMatch);
          return draftRule(route, { rule, matches, field: `spec.rules[${i}]` }, badExpressionIn);
        })
      : route.rules.map((grpcRule, i) => {
          const matches = grpcRule.matches.map(fromGrpcMatch);
          const rule = { ...grpcRule, timeouts: {} };
          return draftRule(route, { rule, matches, field: `spec.rules[${i}]` }, badExpressionIn);
        });
  return { route, rules };
}

type AnyRule = Omit<HttpRouteRule, "matches">;

function draftRule(
  route: RouteIdentity,
  given: {
    readonly rule: AnyRule;
    readonly matches: readonly RankedMatch[];
    readonly field: string;
  },
  badExpressionIn: (match: RouteMatch) => string | undefined,
): RuleDraft {
  const { rule, field } = given;
  let { fault } = rule;
  const matches = given.matches.filter(({ match }, i) => {
    const why = badExpressionIn(match);
    if (why === undefined) return true;
    const message = `${field}.matches[${i}]: want an expression of RE2: ${why}`;
    fault ??= { reason: "UnsupportedValue", message };
    return false;
  });
  const session = rule.sessionPersistence;
  return {
    name: rule.name,
    matches,
    filters: rule.filters,
    backendRefs: rule.backendRefs,
    timeouts: rule.timeouts,
    ...(rule.retry !== undefined && { retry: rule.retry }),
    ...(session !== undefined && { sessionPersistence: nameSession(session, route, rule.name) }),
    ...(fault !== undefined && { fault }),
  };
}

/** The API wants a name of our making to be unique: it is the rule's own. */
function nameSession(
  session: RouteSessionPersistence,
  { namespace, name }: RouteIdentity,
  rule: string,
): SessionPersistence {
  return { ...session, name: session.name ?? `im-session-${namespace}-${name}-${rule}` };
}

/** Finds the first bad expression of a match; counts those of one route. */
function makeExpressionCheck(): (match: RouteMatch) => string | undefined {
  let count = 0;
  return ({ path, headers, queryParams }) => {
    const values: readonly (PathMatch | ValueMatch)[] = [...headers, ...queryParams];
    const all = path === undefined ? values : [path, ...values];
    for (const one of all) {
      if (one.kind !== "regex") continue;
      if (++count > MAX_EXPRESSIONS) return `the route has more than ${MAX_EXPRESSIONS}`;
      const compiled = compileRegex(one.value);
      if (compiled.kind === "bad") return compiled.why;
    }
    return undefined;
  };
}

/**
 * HTTPRouteRule.matches orders: exact path, longest prefix, method, most headers, most query
 * parameters. Where expressions stand is ours to say: between, for every request without a path
 * in its match has the prefix `/`, and below that an expression would never be reached.
 */
function fromHttpMatch({ path, method, headers, queryParams }: HttpRouteMatch): RankedMatch {
  const kindRank = { exact: 3, regex: 2, prefix: 1 }[path.kind];
  const value = path.kind === "regex" ? path.value : normalRoutePath(path);
  return {
    match: {
      hostnames: [],
      path: { kind: path.kind, value },
      headers,
      queryParams,
      ...(method !== undefined && { method }),
    },
    rank: [
      kindRank,
      value.length,
      method === undefined ? 0 : 1,
      headers.length,
      queryParams.length,
    ],
  };
}

/** Requests are matched in normal form, so the values must be; a prefix ends in no slash. */
function normalRoutePath({
  kind,
  value,
}: {
  kind: "exact" | "prefix" | "regex";
  value: string;
}): string {
  const normal = normalisePath(value) ?? value;
  return kind === "prefix" && normal !== "/" ? normal.replace(/\/$/, "") : normal;
}

/**
 * GRPCRouteRule.matches orders: most characters of the service, most of the method, most headers.
 * An expression counts as less than any name and as more than nothing.
 */
function fromGrpcMatch({ method, headers }: GrpcRouteMatch): RankedMatch {
  const rankOf = (name: string | undefined): number => {
    if (name === undefined) return 0;
    return method?.kind === "regex" ? 0.5 : name.length;
  };
  return {
    match: { hostnames: [], path: grpcPath(method), headers, queryParams: [] },
    rank: [rankOf(method?.service), rankOf(method?.method), headers.length],
  };
}

/** A gRPC request's path is `/service/method`. */
function grpcPath(match: GrpcMethodMatch | undefined): PathMatch {
  if (match === undefined) return { kind: "prefix", value: "/" };
  const { kind, service, method } = match;
  const any = "[^/]+";
  if (kind === "regex") {
    // Each by itself, or one that closes a bracket it did not open would pass.
    const bad = [service, method].some(
      (part) => part !== undefined && compileRegex(part).kind === "bad",
    );
    const value = bad ? "(" : `/(?:${service ?? any})/(?:${method ?? any})`;
    return { kind: "regex", value };
  }
  if (service !== undefined && method !== undefined) {
    return { kind: "exact", value: `/${service}/${method}` };
  }
  if (service !== undefined) return { kind: "prefix", value: `/${service}` };
  return { kind: "regex", value: `/${any}/${method ?? any}` };
}
