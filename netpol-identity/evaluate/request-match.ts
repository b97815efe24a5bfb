// Whether a rule's words about requests hold for one. No regular expression is made of what users
// wrote; every comparison takes time linear in the request.

import type { HttpRequestMatch, HttpRequestPath } from "../../lib/kube/api/request-match.ts";
import type { RequestFacts } from "../model/request-facts.ts";

/** True where every part that is there holds; an empty list holds for nothing. Never throws. */
export function matchesRequest(match: HttpRequestMatch, request: RequestFacts): boolean {
  const { methods, path, hosts, headers } = match;
  if (methods !== undefined && !methods.includes(request.method)) return false;
  if (path !== undefined && !matchesPath(path, request.path)) return false;
  if (hosts !== undefined && !hosts.some((host) => matchesHost(host, request.host))) return false;
  if (headers === undefined) return true;
  return headers.every(({ name, value }) => {
    const got = request.header(name);
    return got !== undefined && (value === undefined || got === value);
  });
}

function matchesHost(pattern: string, host: string): boolean {
  if (!pattern.startsWith("*.")) return pattern === host;
  const suffix = pattern.slice(1);
  return host.length > suffix.length && host.endsWith(suffix);
}

function matchesPath({ kind, value }: HttpRequestPath, path: string): boolean {
  if (kind === "exact") return path === value;
  if (kind === "template") return matchesTemplate(value, path);
  const prefix = value.endsWith("/") ? value.slice(0, -1) : value;
  if (!path.startsWith(prefix)) return false;
  return path.length === prefix.length || path[prefix.length] === "/";
}

/** `{*}` never stands for an empty segment, `{**}` for whatever is left, nothing too. */
function matchesTemplate(template: string, path: string): boolean {
  const wanted = template.split("/");
  // A path may have thousands, and be asked about by as many templates.
  const segments = path.split("/", wanted.length + 1);
  for (const [i, want] of wanted.entries()) {
    const segment = segments[i];
    if (want === "{**}") return i === wanted.length - 1;
    if (segment === undefined) return false;
    if (want === "{*}" ? segment === "" : want !== segment) return false;
  }
  return segments.length === wanted.length;
}
