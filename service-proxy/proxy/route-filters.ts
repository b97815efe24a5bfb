// What the filters of a rule do to heads: pure functions from head to head. Heads come in with
// their paths in normal form, and leave so.

import type { FieldLines, RequestHead, ResponseHead } from "../../lib/http/message.ts";
import { normalisePath } from "../model/route-path.ts";
import type {
  HeaderChange,
  PathChange,
  RouteBackend,
  RouteFilter,
  RouteRule,
} from "../model/route-table.ts";

/** The head to send to the backend: first the rule's filters, then the backend's. */
export function filterRequest(
  head: RequestHead,
  rule: RouteRule,
  backend: RouteBackend,
): RequestHead {
  // The usual case, for every request: nothing to do and nothing to allocate.
  if (rule.filters.length === 0 && backend.filters.length === 0) return head;
  let filtered = head;
  for (const filter of [...rule.filters, ...backend.filters]) {
    if (filter.kind === "request-headers") {
      filtered = { ...filtered, fields: changeFields(filtered.fields, filter.change) };
    } else if (filter.kind === "rewrite") {
      filtered = rewrite(filtered, filter, matchedPrefix(rule));
    }
  }
  return filtered;
}

/** The head to send to the client; CORS has its own file. */
export function filterResponse(
  head: ResponseHead,
  rule: RouteRule,
  backend: RouteBackend,
): ResponseHead {
  if (rule.filters.length === 0 && backend.filters.length === 0) return head;
  let { fields } = head;
  // What is nearer to the backend touches the response first.
  for (const filter of [...backend.filters, ...rule.filters]) {
    if (filter.kind === "response-headers") fields = changeFields(fields, filter.change);
  }
  return fields === head.fields ? head : { ...head, fields };
}

/** Removes, replaces and appends; an added value gets a line of its own after the others. */
export function changeFields(fields: FieldLines, change: HeaderChange): FieldLines {
  const gone = new Set([...change.remove, ...change.set.map(([name]) => name)]);
  const changed: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (!gone.has(name)) changed.push(name, fields[i + 1] ?? "");
  }
  for (const [name, value] of [...change.set, ...change.add]) changed.push(name, value);
  return changed;
}

/** The prefix that a rule's match is about; `/` where it is about none. */
export function matchedPrefix({ match }: RouteRule): string {
  return match.path?.kind === "prefix" ? match.path.value : "/";
}

function rewrite(
  head: RequestHead,
  { hostname, path }: Extract<RouteFilter, { kind: "rewrite" }>,
  prefix: string,
): RequestHead {
  return {
    ...head,
    authority: hostname ?? head.authority,
    path: path === undefined ? head.path : changePath(head.path, path, prefix),
  };
}

/**
 * The path with the change made, its query kept. Paths that are no paths (`*`) stay as they are.
 * @param prefix what `prefix` changes replace; the path must lie below it
 * @see HTTPPathModifier.replacePrefixMatch, which has the table of edge cases
 */
export function changePath(path: string, change: PathChange, prefix: string): string {
  if (!path.startsWith("/")) return path;
  const queryAt = path.indexOf("?");
  const [old, query] = queryAt === -1 ? [path, ""] : [path.slice(0, queryAt), path.slice(queryAt)];
  return `${changedPath(old, change, prefix)}${query}`;
}

function changedPath(path: string, { kind, value }: PathChange, prefix: string): string {
  if (kind === "full") return normalisePath(value) ?? value;
  const rest = path.slice(prefix.replace(/\/$/, "").length);
  const changed = `${value.replace(/\/$/, "")}${rest}` || "/";
  return normalisePath(changed) ?? changed;
}
