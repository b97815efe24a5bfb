// Routing rules in words, for explanations: whom they match, what they do on the way. Pure.

import type {
  HeaderChange,
  PathChange,
  RouteFilter,
  RouteMatch,
  RouteRule,
  ValueMatch,
} from "../../service-proxy/model/route-table.ts";

/** What a request must be like, e.g. `path below /api, header x-canary is "yes"`. */
export function matchInWords({ match, grpc }: Pick<RouteRule, "match" | "grpc">): string {
  const { hostnames, path, method, headers, queryParams } = match;
  const parts = [
    ...(hostnames.length === 0 ? [] : [`host ${hostnames.join(" or ")}`]),
    ...(path === undefined || (path.kind === "prefix" && path.value === "/")
      ? []
      : [grpc ? callInWords(path) : pathInWords(path)]),
    ...(method === undefined ? [] : [`method ${method}`]),
    ...headers.map((header) => `header ${valueInWords(header)}`),
    ...queryParams.map((parameter) => `query ${valueInWords(parameter)}`),
  ];
  return parts.length === 0 ? "every request" : parts.join(", ");
}

/** What happens beside choosing a backend, one phrase each. */
export function actionsInWords({
  filters,
  timeouts,
  retry,
  sessionPersistence,
}: Pick<RouteRule, "filters" | "timeouts" | "retry" | "sessionPersistence">): readonly string[] {
  const { requestMs, backendRequestMs } = timeouts;
  return [
    ...filters.flatMap(filterInWords),
    ...(requestMs === undefined ? [] : [limitInWords("request", requestMs)]),
    ...(backendRequestMs === undefined ? [] : [limitInWords("each attempt", backendRequestMs)]),
    ...(retry === undefined ? [] : [retryInWords(retry)]),
    ...(sessionPersistence === undefined
      ? []
      : [`sessions kept by ${sessionPersistence.kind} ${sessionPersistence.name}`]),
  ];
}

/** What one filter does, one phrase each. */
export function filterInWords(filter: RouteFilter): readonly string[] {
  switch (filter.kind) {
    case "request-headers":
      return changesInWords("request", filter.change);
    case "response-headers":
      return changesInWords("response", filter.change);
    case "redirect": {
      const { scheme, hostname, port, path, status } = filter;
      const to = [
        ...(scheme === undefined ? [] : [`scheme ${scheme}`]),
        ...(hostname === undefined ? [] : [`host ${hostname}`]),
        ...(port === undefined ? [] : [`port ${port}`]),
        ...(path === undefined ? [] : [newPathInWords(path, " ")]),
      ];
      return [`redirect ${status} to ${to.length === 0 ? "itself" : to.join(", ")}`];
    }
    case "rewrite": {
      const { hostname, path } = filter;
      return [
        ...(hostname === undefined ? [] : [`rewrite host to ${hostname}`]),
        ...(path === undefined ? [] : [`rewrite ${newPathInWords(path, " to ")}`]),
      ];
    }
    case "mirror":
      return [`mirror ${percent(filter.share)} to ${filter.group}`];
    case "cors":
      return [`CORS for ${filter.policy.allowOrigins.join(", ")}`];
    default:
      return filter satisfies never;
  }
}

/** @param share 0–1 */
export function percent(share: number): string {
  return `${Number((share * 100).toFixed(2))} %`;
}

function pathInWords({ kind, value }: NonNullable<RouteMatch["path"]>): string {
  switch (kind) {
    case "exact":
      return `path ${value}`;
    case "prefix":
      return `path below ${value}`;
    case "regex":
      return `path like ${value}`;
    default:
      return kind satisfies never;
  }
}

/** Of gRPC, where paths are `/service/method`. */
function callInWords(path: NonNullable<RouteMatch["path"]>): string {
  if (path.kind === "regex") return pathInWords(path);
  return `gRPC ${path.kind === "exact" ? "method" : "service"} ${path.value.slice(1)}`;
}

function valueInWords({ name, kind, value }: ValueMatch): string {
  return `${name} ${kind === "exact" ? "is" : "like"} "${value}"`;
}

function newPathInWords({ kind, value }: PathChange, to: string): string {
  return `${kind === "full" ? "path" : "prefix"}${to}${value}`;
}

function changesInWords(of: string, { set, add, remove }: HeaderChange): readonly string[] {
  return [
    ...set.map(([name, value]) => `set ${of} header ${name} to "${value}"`),
    ...add.map(([name, value]) => `add ${of} header ${name} "${value}"`),
    ...remove.map((name) => `remove ${of} header ${name}`),
  ];
}

function limitInWords(what: string, ms: number): string {
  return ms === 0 ? `${what} without time limit` : `${what} within ${ms} ms`;
}

function retryInWords({
  attempts,
  statusCodes,
  backoffMs,
}: NonNullable<RouteRule["retry"]>): string {
  const codes = statusCodes.length === 0 ? "" : ` of ${statusCodes.join(", ")}`;
  return `tried again up to ${attempts}×${codes}, ${backoffMs} ms apart`;
}
