// Rules and heads with everything but what a test is about left out, for tests.

import type { RequestHead } from "../../lib/http/message.ts";
import type { RouteFilter, RouteMatch, RouteRule } from "../model/route-table.ts";

export function sampleMatch(match: Partial<RouteMatch> = {}): RouteMatch {
  return { hostnames: [], headers: [], queryParams: [], ...match };
}

export function sampleRule(
  match: Partial<RouteMatch> = {},
  rule: Partial<Omit<RouteRule, "match">> = {},
): RouteRule {
  return {
    route: "HTTPRoute shop/web",
    rule: "0",
    match: sampleMatch(match),
    filters: [],
    backends: [],
    timeouts: {},
    grpc: false,
    ...rule,
  };
}

/** A rule for paths below `prefix` with one filter. */
export function filterRule(filter: RouteFilter, prefix = "/"): RouteRule {
  return sampleRule({ path: { kind: "prefix", value: prefix } }, { filters: [filter] });
}

export function sampleHead(path: string, head: Partial<RequestHead> = {}): RequestHead {
  return { method: "GET", authority: "web.shop", path, fields: [], ...head };
}
