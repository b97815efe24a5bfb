// The order of rules: the precedence of HTTPRouteRule.matches and GRPCRouteRule.matches, as tables.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonRecord } from "../../lib/kube/api/fields.ts";
import { renameGroups } from "./route-groups.ts";
import { planSample, type SampleRoute, tableOf } from "./sample-routes.ts";

const path = (value: string, type = "PathPrefix"): JsonRecord => ({ path: { type, value } });
const headers = (...names: readonly string[]): JsonRecord => ({
  headers: names.map((name) => ({ name, value: "1" })),
});
const query = (...names: readonly string[]): JsonRecord => ({
  queryParams: names.map((name) => ({ name, value: "1" })),
});

/** Each list in its order of precedence: the first before the second, and so on. */
const HTTP_ORDERS: Readonly<Record<string, readonly JsonRecord[]>> = {
  "exact, then expressions, then prefixes": [
    path("/a", "Exact"),
    path("/a.*", "RegularExpression"),
    path("/a/b/c/d"),
  ],
  "longer prefixes first": [path("/a/b/c"), path("/a/b"), path("/a"), path("/")],
  "path before method": [path("/a"), { ...path("/"), method: "GET" }],
  "method before headers": [{ method: "GET" }, headers("a", "b")],
  "more headers first": [headers("a", "b"), headers("a"), {}],
  "headers before query parameters": [headers("a"), query("a", "b", "c")],
  "more query parameters first": [query("a", "b"), query("a"), {}],
};
for (const [name, matches] of Object.entries(HTTP_ORDERS)) {
  test(`HTTP: ${name}`, () => {
    const named = matches.map((match, i) => ({ name: `rule-${i}`, matches: [match] }));
    for (const rules of [named, named.toReversed()]) {
      const plan = planSample({ kind: "HTTPRoute", name: "r", spec: { rules } });
      const order = tableOf(plan).rules.map(({ rule }) => rule);
      assert.deepEqual(order, [...order].sort(), name);
    }
  });
}

const method = (service?: string, name?: string, type = "Exact"): JsonRecord => ({
  method: { type, ...(service && { service }), ...(name && { method: name }) },
});
const GRPC_ORDERS: Readonly<Record<string, readonly JsonRecord[]>> = {
  "longer services first": [method("foo.Barbar"), method("foo.Bar", "Method")],
  "then longer methods": [method("foo.Bar", "Long"), method("foo.Bar", "L"), method("foo.Bar")],
  "then more headers": [headers("a", "b"), headers("a"), {}],
  "names, then expressions, then nothing": [
    method("f"),
    method("foo.*", undefined, "RegularExpression"),
    method(undefined, "Method"),
    {},
  ],
};
for (const [name, matches] of Object.entries(GRPC_ORDERS)) {
  test(`gRPC: ${name}`, () => {
    const named = matches.map((match, i) => ({ name: `rule-${i}`, matches: [match] }));
    for (const rules of [named, named.toReversed()]) {
      const plan = planSample({ kind: "GRPCRoute", name: "r", spec: { rules } });
      const order = tableOf(plan).rules.map(({ rule }) => rule);
      assert.deepEqual(order, [...order].sort(), name);
      assert.ok(tableOf(plan).rules.every(({ grpc }) => grpc));
    }
  });
}

test("ties go to the older route, then by name, then to the first rule and match", () => {
  const route = (name: string, age: number, namespace = "shop"): SampleRoute => {
    const rules = [{ matches: [path("/a"), path("/a/")] }, {}];
    return { kind: "HTTPRoute", name, namespace, age, spec: { rules } };
  };
  const plan = planSample(route("z", 1), route("b", 2), route("a", 2));
  assert.deepEqual(
    tableOf(plan).rules.map(({ route: of, rule }) => `${of.slice(-1)}${rule}`),
    ["z0", "z0", "a0", "a0", "b0", "b0", "z1", "a1", "b1"],
  );
});

test("the matches of one rule stand where each of them belongs", () => {
  const rules = [
    { name: "x", matches: [path("/"), path("/a/b")] },
    { name: "y", matches: [path("/a")] },
  ];
  const plan = planSample({ kind: "HTTPRoute", name: "r", spec: { rules } });
  assert.deepEqual(
    tableOf(plan).rules.map(({ rule, match }) => `${rule} ${match.path?.value}`),
    ["x /a/b", "y /a", "x /"],
  );
});

test("paths stand in normal form, prefixes without their last slash", () => {
  const rules = [{ matches: [path("/%61/%7e"), path("/a/"), path("/a/", "Exact"), path("/")] }];
  const plan = planSample({ kind: "HTTPRoute", name: "r", spec: { rules } });
  const values = tableOf(plan).rules.map(({ match }) => match.path?.value);
  assert.deepEqual(new Set(values), new Set(["/", "/a", "/a/", "/a/~"]));
});

test("hostnames of a route on a Service are not looked at", () => {
  const spec = { hostnames: ["a.example"], rules: [{}] };
  const plan = planSample({ kind: "HTTPRoute", name: "r", spec });
  assert.deepEqual(tableOf(plan).rules[0]?.match.hostnames, []);
});

const GRPC_PATHS: readonly (readonly [JsonRecord, string, string])[] = [
  [method("foo.Bar", "Baz"), "exact", "/foo.Bar/Baz"],
  [method("foo.Bar"), "prefix", "/foo.Bar"],
  [method(undefined, "Baz"), "regex", "/[^/]+/Baz"],
  [method("foo|bar", "B.*", "RegularExpression"), "regex", "/(?:foo|bar)/(?:B.*)"],
  [method("foo", undefined, "RegularExpression"), "regex", "/(?:foo)/(?:[^/]+)"],
  [{}, "prefix", "/"],
];
for (const [match, kind, value] of GRPC_PATHS) {
  test(`the gRPC match ${JSON.stringify(match)} is the ${kind} path ${value}`, () => {
    const plan = planSample({
      kind: "GRPCRoute",
      name: "r",
      spec: { rules: [{ matches: [match] }] },
    });
    assert.deepEqual(tableOf(plan).rules[0]?.match.path, { kind, value });
  });
}

test("an expression cannot close the bracket of the other", () => {
  const matches = [method("a)|(b", "c", "RegularExpression")];
  const plan = planSample({ kind: "GRPCRoute", name: "r", spec: { rules: [{ matches }] } });
  const [condition] = plan.statuses[0]?.parents[0]?.conditions ?? [];
  assert.equal(condition?.reason, "UnsupportedValue");
});

test("sessions have the name that was asked for, or one of the rule's own", () => {
  const session = (sessionPersistence: JsonRecord): string | undefined => {
    const rules = [{ name: "x", sessionPersistence }];
    const plan = planSample({ kind: "HTTPRoute", name: "r", spec: { rules } });
    return tableOf(plan).rules[0]?.sessionPersistence?.name;
  };
  assert.equal(session({ sessionName: "Tea" }), "Tea");
  assert.equal(session({}), "im-session-shop-r-x");
});

test("groups are renamed wherever they stand, and what has no name is refused or dropped", () => {
  const requestMirror = (name: string): JsonRecord => ({
    type: "RequestMirror",
    requestMirror: { backendRef: { name, port: 80 } },
  });
  const backendRefs = [
    { name: "a", port: 80, filters: [requestMirror("b")] },
    { name: "b", port: 80 },
  ];
  const spec = { rules: [{ filters: [requestMirror("a"), requestMirror("b")], backendRefs }] };
  const rename = (name: string): string | undefined =>
    name === "shop/a:80" ? `${name} IPv4` : undefined;
  const kind = planSample({ kind: "HTTPRoute", name: "r", spec }).ports.get("shop/web:80");
  assert.ok(kind);
  const renamed = renameGroups(kind, rename);
  assert.ok(renamed.kind === "http");
  const [rule] = renamed.routes?.rules ?? [];
  assert.deepEqual(rule?.filters, [{ kind: "mirror", group: "shop/a:80 IPv4", share: 1 }]);
  assert.deepEqual(rule?.backends, [
    { weight: 1, filters: [], group: "shop/a:80 IPv4" },
    { weight: 1, filters: [] },
  ]);
  const tcp = planSample({ kind: "TCPRoute", name: "r", spec: { rules: [{ backendRefs }] } });
  const bytes = renameGroups(tcp.ports.get("shop/web:80") ?? kind, rename);
  assert.deepEqual(bytes, {
    kind: "tcp",
    backends: [{ weight: 1, group: "shop/a:80 IPv4" }, { weight: 1 }],
  });
});
