// Which rule serves a request: matches of HTTPRoute, their precedence, and whose routes they are.

import type { RouteCase } from "./http-route-case.ts";
import { FRONT_POD, V1_POD, V2_POD, V3_POD } from "./http-rig.ts";
import { below, type Json, path, rule } from "./http-route-rules.ts";
import { PARENT, SHOP, VAULT } from "./http-manifests.ts";

const header = (name: string, value: string, type = "Exact"): { headers: readonly Json[] } => ({
  headers: [{ type, name, value }],
});
const query = (name: string, value: string, type = "Exact"): { queryParams: readonly Json[] } => ({
  queryParams: [{ type, name, value }],
});
const NO_ROUTE = { status: 404 };
const v1 = { pod: V1_POD };
const v2 = { pod: V2_POD };
const v3 = { pod: V3_POD };

export const MATCH_CASES: readonly RouteCase[] = [
  {
    name: "an exact path matches itself only, with any query",
    routes: [{ rules: [rule(path("/one", "Exact"), "v1")] }],
    requests: [
      { path: "/one", expect: { ...v1, path: "/one" } },
      { path: "/one?a=b", expect: { ...v1, path: "/one?a=b" } },
      { path: "/one/", expect: NO_ROUTE },
      { path: "/One", expect: NO_ROUTE },
      { path: "/one/two", expect: NO_ROUTE },
      { path: "/one", family: "ip6", expect: v1 },
    ],
  },
  {
    name: "a prefix matches whole path elements",
    routes: [{ rules: [rule(path("/shop"), "v1")] }],
    requests: [
      { path: "/shop", expect: v1 },
      { path: "/shop/", expect: v1 },
      { path: "/shop/cart?x=1", expect: { ...v1, path: "/shop/cart?x=1" } },
      { path: "/shopping", expect: NO_ROUTE },
      { path: "/", expect: NO_ROUTE },
    ],
  },
  {
    name: "a regular expression is anchored at both ends",
    routes: [{ rules: [rule(path("/v[0-9]+/items", "RegularExpression"), "v1")] }],
    requests: [
      { path: "/v12/items", expect: v1 },
      { path: "/v12/items/1", expect: NO_ROUTE },
      { path: "/x/v12/items", expect: NO_ROUTE },
      { path: "/v/items", expect: NO_ROUTE },
    ],
  },
  {
    name: "exact wins over expression, expression over prefix, longer over shorter",
    routes: [
      {
        rules: [
          rule(path("/"), "v1"),
          rule(path("/a/b"), "v2"),
          rule(path("/a/b/c", "Exact"), "v3"),
          rule(path("/a/b/r.*", "RegularExpression"), "all"),
        ],
      },
    ],
    requests: [
      { path: "/z", expect: v1 },
      { path: "/a", expect: v1 },
      { path: "/a/b/x", expect: v2 },
      { path: "/a/b/c", expect: v3 },
      { path: "/a/b/c/d", expect: v2 },
      { path: "/a/b/rest", expect: {} },
    ],
  },
  {
    name: "paths are matched and forwarded in normal form",
    routes: [{ rules: [rule(path("/a"), "v1"), rule(path("/b"), "v2")] }],
    requests: [
      { path: "/%61/x", expect: { ...v1, path: "/a/x" } },
      { path: "/a/../b/x", expect: { ...v2, path: "/b/x" } },
      { path: "/a/./x%7e", expect: { ...v1, path: "/a/x~" } },
      // Whether it separates is in the eye of each backend.
      { path: "/a/x%2fy", expect: { status: 400 } },
    ],
  },
  {
    name: "a method matches itself and comes before a route without one",
    routes: [{ rules: [rule(undefined, "v1"), rule({ method: "POST" }, "v2")] }],
    requests: [
      { expect: v1 },
      { method: "POST", body: "x", expect: { ...v2, method: "POST" } },
      { method: "DELETE", expect: { ...v1, method: "DELETE" } },
    ],
  },
  {
    name: "headers match by their whole value, names in any case",
    routes: [
      {
        rules: [
          rule(header("Version", "one"), "v1"),
          rule(header("version", "t[wo]+", "RegularExpression"), "v2"),
          rule(
            { headers: [...header("version", "one").headers, ...header("color", "blue").headers] },
            "v3",
          ),
        ],
      },
    ],
    requests: [
      { headers: { VERSION: "one" }, expect: v1 },
      { headers: { version: "two" }, expect: v2 },
      { headers: { version: "two2" }, expect: NO_ROUTE },
      { headers: { version: "one", color: "blue" }, expect: v3 },
      { headers: { version: "One" }, expect: NO_ROUTE },
      { expect: NO_ROUTE },
    ],
  },
  {
    name: "query parameters match decoded, the first of a name",
    routes: [
      {
        rules: [
          rule(query("animal", "whale"), "v1"),
          rule(query("animal", "dol.*", "RegularExpression"), "v2"),
          rule(
            {
              queryParams: [
                ...query("animal", "whale").queryParams,
                ...query("z", "1").queryParams,
              ],
            },
            "v3",
          ),
        ],
      },
    ],
    requests: [
      { path: "/?animal=whale", expect: v1 },
      { path: "/?animal=wh%61le", expect: v1 },
      { path: "/?animal=dolphin&animal=whale", expect: v2 },
      { path: "/x?z=1&animal=whale", expect: v3 },
      { path: "/?Animal=whale", expect: NO_ROUTE },
      { path: "/?animal=shark", expect: NO_ROUTE },
    ],
  },
  {
    name: "all parts of one match must hold, any match of a rule will do",
    routes: [
      {
        rules: [
          rule([{ ...path("/a"), ...header("x", "1"), method: "GET" }, path("/b", "Exact")], "v1"),
        ],
      },
    ],
    requests: [
      { path: "/a", headers: { x: "1" }, expect: v1 },
      { path: "/a", expect: NO_ROUTE },
      { path: "/a", headers: { x: "1" }, method: "PUT", expect: NO_ROUTE },
      { path: "/b", expect: v1 },
    ],
  },
  {
    name: "equal matches: the first rule of the oldest route",
    routes: [
      { name: "young", createdMinute: 5, rules: [rule(path("/a"), "v2"), rule(path("/y"), "v2")] },
      { name: "old", createdMinute: 1, rules: [rule(path("/a"), "v1"), rule(path("/a"), "v3")] },
    ],
    requests: [
      { path: "/a", expect: v1 },
      { path: "/y", expect: v2 },
    ],
  },
  {
    name: "parentRef.port scopes a route to one port, the other keeps its lane",
    routes: [{ port: 80, rules: [rule(path("/a"), "v1")] }],
    requests: [
      { path: "/a", expect: v1 },
      { path: "/b", expect: NO_ROUTE },
      {
        path: "/b",
        protocol: "http2",
        expect: { pod: FRONT_POD, saw: { "x-request-id": null } },
      },
    ],
  },
  {
    name: "a Service is recognised by the address that was dialled, whatever the Host says",
    routes: [{ rules: [rule(undefined, "v1")] }],
    requests: [
      { headers: { host: "case-1.shop" }, expect: { ...v1, host: "case-1.shop" } },
      { headers: { host: "example.com:99" }, expect: { ...v1, host: "example.com:99" } },
    ],
  },
  {
    name: "a consumer's route is for clients of its namespace alone",
    routes: [
      { rules: [rule(undefined, "v1")] },
      {
        namespace: "consumer",
        name: "theirs",
        rules: [{ backendRefs: [{ name: "v2", namespace: "shop", port: 80 }], ...below("/c") }],
      },
    ],
    requests: [
      { path: "/c", expect: v1 },
      { path: "/c", from: "node-1", expect: v1 },
      // Without a grant the consumer's own Service is no backend of theirs.
      { path: "/c", from: "pod-1-2", expect: { status: 500 } },
      { path: "/d", from: "pod-1-2", expect: NO_ROUTE },
    ],
  },
  {
    name: "a consumer's filters on the Service itself need no grant",
    routes: [
      {
        namespace: "consumer",
        name: "marked",
        rules: [consumerRule()],
      },
    ],
    requests: [
      { from: "pod-1-2", expect: { pod: FRONT_POD, saw: { "x-consumer": "yes" } } },
      { expect: { pod: FRONT_POD, saw: { "x-consumer": null } } },
      { from: "node-1", expect: { pod: FRONT_POD, saw: { "x-consumer": null } } },
    ],
  },
  {
    name: "from the host, from outside through the NodePort, in both families: the same route",
    routes: [{ rules: [rule(path("/a"), "v1"), rule(path("/b"), "v2")] }],
    requests: [
      { path: "/a", from: "node-1", expect: v1 },
      { path: "/b", from: "node-1", family: "ip6", expect: v2 },
      { path: "/a", from: "client", to: "nodePort", expect: v1 },
      { path: "/b", from: "client", to: "nodePort", family: "ip6", expect: v2 },
      { path: "/c", from: "client", to: "nodePort", expect: NO_ROUTE },
      { path: "/a", from: "client", expect: v1 },
      { path: "/b", from: "pod-1-2", family: "ip6", expect: v2 },
    ],
  },
  {
    name: "backends see the address of the pod that calls, in both families",
    routes: [{ rules: [rule(undefined, "v2", { name: "named" })] }],
    requests: [
      { expect: { ...v2, client: "10.71.1.2" } },
      { family: "ip6", expect: { ...v2, client: "fd71:0:0:1::2" } },
      { protocol: "http2", from: "pod-1-2", expect: { ...v2, client: "10.71.1.3" } },
    ],
  },
  {
    name: "a backend without endpoints is answered 503, one that refuses too",
    routes: [{ rules: [rule(path("/none"), "empty"), rule(path("/dead"), "dead")] }],
    requests: [
      { path: "/none", expect: { status: 503 } },
      { path: "/dead", expect: { status: 503 } },
    ],
  },
  {
    name: "a backend that is not there, of another kind, or not granted is answered 500",
    routes: [
      {
        rules: [
          rule(path("/missing"), "nobody"),
          { ...below("/kind"), backendRefs: [{ kind: "Pod", name: "v1", port: 80 }] },
          {
            ...below("/locked"),
            backendRefs: [{ name: "locked", namespace: "locked", port: 80 }],
          },
          { ...below("/none") },
          rule(path("/fine"), "v1"),
        ],
      },
    ],
    requests: [
      { path: "/missing", expect: { status: 500 } },
      { path: "/kind", expect: { status: 500 } },
      { path: "/locked", expect: { status: 500 } },
      { path: "/none", expect: { status: 500 } },
      { path: "/fine", expect: v1 },
    ],
  },
  {
    name: "a rule with a bad expression serves nothing, the others serve",
    routes: [
      {
        rules: [rule(path("/(", "RegularExpression"), "v1"), rule(path("/ok"), "v2")],
      },
    ],
    requests: [
      { path: "/ok", expect: v2 },
      { path: "/(", expect: NO_ROUTE },
    ],
  },
  {
    name: "a granted backend in another namespace serves",
    routes: [{ rules: [{ backendRefs: [{ name: "safe", namespace: VAULT, port: 80 }] }] }],
    requests: [{ expect: v3 }],
  },
];

/** Marks what goes to the Service itself. */
function consumerRule(): Json {
  const requestHeaderModifier = { set: [{ name: "x-consumer", value: "yes" }] };
  return {
    filters: [{ type: "RequestHeaderModifier", requestHeaderModifier }],
    backendRefs: [{ name: PARENT, namespace: SHOP, port: 80 }],
  };
}
