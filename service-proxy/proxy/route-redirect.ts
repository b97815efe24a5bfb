// The answer of a redirect filter (HTTPRequestRedirectFilter of the Gateway API).

import type { RequestHead, ResponseHead } from "../../lib/http/message.ts";
import type { RouteFilter, RouteRule } from "../model/route-table.ts";
import { changePath, matchedPrefix } from "./route-filters.ts";

/** How the request came in. */
export interface RedirectContext {
  readonly scheme: "http" | "https";
  /** The port that the client dialled. */
  readonly port: number;
}

type Redirect = Extract<RouteFilter, { kind: "redirect" }>;

const WELL_KNOWN_PORT = { http: 80, https: 443 } as const;

/** The whole answer, without a body. */
export function redirectTo(
  head: RequestHead,
  redirect: Redirect,
  rule: RouteRule,
  context: RedirectContext,
): ResponseHead {
  const location = locationOf(head, redirect, matchedPrefix(rule), context);
  return { status: redirect.status, fields: ["location", location, "content-length", "0"] };
}

/**
 * A scheme brings its well-known port along; without one the port stays the one that was dialled.
 * The port is left out where the scheme implies it.
 */
function locationOf(
  head: RequestHead,
  redirect: Redirect,
  prefix: string,
  context: RedirectContext,
): string {
  const given = head.path.startsWith("/") ? head.path : "/";
  const path = redirect.path === undefined ? given : changePath(given, redirect.path, prefix);
  const host = redirect.hostname ?? bareHost(head.authority);
  // An HTTP/1.0 client may name no host: what it gets is relative to whom it asked.
  if (host === "") return path;
  const scheme = redirect.scheme ?? context.scheme;
  const implied = redirect.scheme === undefined ? context.port : WELL_KNOWN_PORT[redirect.scheme];
  const port = redirect.port ?? implied;
  const suffix = port === WELL_KNOWN_PORT[scheme] ? "" : `:${port}`;
  return `${scheme}://${host}${suffix}${path}`;
}

function bareHost(authority: string): string {
  const portAt = authority.indexOf(":", authority.indexOf("]") + 1);
  return portAt === -1 ? authority : authority.slice(0, portAt);
}
