// Which backends a server name leads to (Gateway API's TLSRoute: hostnames).

import type { ServerNameRoute, WeightedGroup } from "../model/proxy-plan.ts";

/**
 * The backends of the most specific hostname: the name itself, else the longest wildcard above it,
 * else `*`, which also serves clients that name nobody. Undefined when no route matches.
 * @param name lower-case, without a trailing dot
 */
export function backendsForName(
  routes: readonly ServerNameRoute[],
  name: string | undefined,
): readonly WeightedGroup[] | undefined {
  let best: ServerNameRoute | undefined;
  for (const route of routes) {
    if (!matches(route.hostname, name)) continue;
    if (route.hostname === name) return route.backends;
    if (best === undefined || route.hostname.length > best.hostname.length) best = route;
  }
  return best?.backends;
}

function matches(hostname: string, name: string | undefined): boolean {
  if (hostname === "*") return true;
  if (name === undefined) return false;
  if (!hostname.startsWith("*.")) return hostname === name;
  const suffix = hostname.slice(1);
  return name.length > suffix.length && name.endsWith(suffix);
}
