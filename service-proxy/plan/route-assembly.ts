// The routes of one Service port, put together: a table of rules in their order of precedence, or
// weighted backends for bytes. What cannot be honoured answers 500 or refuses, and never passes.

import type { HttpRouteFilter } from "../../lib/kube/api/http-route-filter.ts";
import type { BackendRef, BackendTarget } from "../../lib/kube/api/route-fields.ts";
import type { TcpRoute } from "../../lib/kube/api/tcp-route.ts";
import type { TlsRoute } from "../../lib/kube/api/tls-route.ts";
import type { UdpRoute } from "../../lib/kube/api/udp-route.ts";
import type { PortKind, ServerNameRoute, WeightedGroup } from "../model/proxy-plan.ts";
import type { RouteBackend, RouteFilter, RouteRule } from "../model/route-table.ts";
import type { AnyRoute } from "./route-attachment.ts";
import type { RankedMatch, RouteDraft, RuleDraft } from "./route-draft.ts";

/** The group that a reference of a route leads to, by the name that tables use; else undefined. */
export type GroupOf = (route: AnyRoute, target: BackendTarget) => string | undefined;

export interface RouteParts {
  readonly draftOf: (route: Extract<AnyRoute, { kind: "HTTPRoute" | "GRPCRoute" }>) => RouteDraft;
  readonly groupOf: GroupOf;
}

/** Bytes that are let in nowhere. */
const REFUSE: readonly WeightedGroup[] = [{ weight: 1 }];

/** @param byAudience as decided for the port: each list of one kind, oldest first */
export function assemblePort(
  byAudience: ReadonlyMap<string, readonly AnyRoute[]>,
  parts: RouteParts,
): PortKind {
  const producers = byAudience.get("") ?? [];
  const tcp = producers.find((route) => route.kind === "TCPRoute");
  // The API lets all TCPRoutes of a port be accepted, and the oldest have the traffic.
  if (tcp !== undefined) return { kind: "tcp", backends: streamBackends(tcp, parts.groupOf) };
  const tls = producers.filter((route) => route.kind === "TLSRoute");
  if (tls.length > 0) return { kind: "tls", routes: serverNameRoutes(tls, parts.groupOf) };
  const rules = [...byAudience].flatMap(([audience, routes]) => {
    const assembled = assembleRules(routes, audience, parts);
    return assembled.length > 0 ? assembled : refuseAll(routes, audience);
  });
  return { kind: "http", routes: { rules } };
}

interface Placed {
  readonly ranked: RankedMatch;
  readonly rule: RouteRule;
}

/** The rules of one audience. Precedence is per match, so each match makes a rule of its own. */
function assembleRules(
  routes: readonly AnyRoute[],
  audience: string,
  { draftOf, groupOf }: RouteParts,
): readonly RouteRule[] {
  const placed: Placed[] = [];
  for (const route of routes) {
    if (route.kind !== "HTTPRoute" && route.kind !== "GRPCRoute") continue;
    for (const draft of draftOf(route).rules) {
      const content = ruleContent(route, draft, groupOf);
      for (const ranked of draft.matches) {
        const match =
          audience === "" ? ranked.match : { ...ranked.match, clientNamespace: audience };
        placed.push({ ranked, rule: { ...content, match } });
      }
    }
  }
  // Stable: what ties keeps its place, and the places are by age, then by position.
  placed.sort((a, b) => byRank(a.ranked.rank, b.ranked.rank));
  return placed.map(({ rule }) => rule);
}

function byRank(a: readonly number[], b: readonly number[]): number {
  for (const [i, first] of a.entries()) {
    const difference = (b[i] ?? 0) - first;
    if (difference !== 0) return difference;
  }
  return 0;
}

function ruleContent(
  route: AnyRoute,
  draft: RuleDraft,
  groupOf: GroupOf,
): Omit<RouteRule, "match"> {
  const name = `${route.kind} ${route.namespace}/${route.name}`;
  const identity = { route: name, rule: draft.name, grpc: route.kind === "GRPCRoute" };
  if (draft.fault !== undefined) return { ...identity, filters: [], backends: [], timeouts: {} };
  const filtersOf = (filters: readonly HttpRouteFilter[]): readonly RouteFilter[] =>
    filters.flatMap((filter) => resolveFilter(filter, (target) => groupOf(route, target)));
  const backends = draft.backendRefs.map(({ target, weight, filters }): RouteBackend => {
    const group = groupOf(route, target);
    return { weight, filters: filtersOf(filters), ...(group !== undefined && { group }) };
  });
  return {
    ...identity,
    filters: filtersOf(draft.filters),
    backends,
    timeouts: draft.timeouts,
    ...(draft.retry !== undefined && { retry: draft.retry }),
    ...(draft.sessionPersistence !== undefined && {
      sessionPersistence: draft.sessionPersistence,
    }),
  };
}

/** A mirror that leads nowhere is dropped, as the API says; ResolvedRefs tells. */
function resolveFilter(
  filter: HttpRouteFilter,
  groupOf: (target: BackendTarget) => string | undefined,
): readonly RouteFilter[] {
  if (filter.kind !== "mirror") return [filter];
  const group = groupOf(filter.target);
  return group === undefined ? [] : [{ kind: "mirror", group, share: filter.share }];
}

/**
 * Routes without one rule that could be read still replace what the Service did without them
 * (GEP-1294, route presence): to pass would be to skip what they were written for.
 */
function refuseAll(routes: readonly AnyRoute[], audience: string): readonly RouteRule[] {
  return routes.slice(0, 1).map((route) => ({
    route: `${route.kind} ${route.namespace}/${route.name}`,
    rule: "",
    match: {
      hostnames: [],
      path: { kind: "prefix", value: "/" },
      headers: [],
      queryParams: [],
      ...(audience !== "" && { clientNamespace: audience }),
    },
    filters: [],
    backends: [],
    timeouts: {},
    grpc: route.kind === "GRPCRoute",
  }));
}

/** One rule is all that the API allows for bytes and datagrams. */
export function streamBackends(
  route: TcpRoute | TlsRoute | UdpRoute,
  groupOf: GroupOf,
): readonly WeightedGroup[] {
  const rule = route.rules[0];
  if (rule === undefined || rule.fault !== undefined) return REFUSE;
  const weighted = rule.backendRefs.filter(({ weight }) => weight > 0);
  if (weighted.length === 0) return REFUSE;
  return weighted.map(({ target, weight }: BackendRef) => {
    const group = groupOf(route, target);
    return { weight, ...(group !== undefined && { group }) };
  });
}

/**
 * The most specific name first; of equal names the oldest route's counts. GEP-1294 would have
 * hostnames ignored, but a TLSRoute that matches no server name is nothing but a TCPRoute.
 */
function serverNameRoutes(
  routes: readonly TlsRoute[],
  groupOf: GroupOf,
): readonly ServerNameRoute[] {
  const byName = new Map<string, ServerNameRoute>();
  for (const route of routes) {
    const backends = streamBackends(route, groupOf);
    for (const hostname of route.hostnames) {
      if (!byName.has(hostname)) byName.set(hostname, { hostname, backends });
    }
  }
  const isExact = (hostname: string): number => (hostname.startsWith("*") ? 0 : 1);
  return [...byName.values()].sort(
    (a, b) => isExact(b.hostname) - isExact(a.hostname) || b.hostname.length - a.hostname.length,
  );
}
