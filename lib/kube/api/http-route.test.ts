// What an HTTPRoute says, what it says when it says nothing, and what becomes of a rule that
// cannot be honoured.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonRecord } from "./fields.ts";
import { type HttpRoute, MAX_RETRY_ATTEMPTS, parseHttpRoute } from "./http-route.ts";

function parse(spec: JsonRecord, metadata: JsonRecord = {}): HttpRoute {
  const parsed = parseHttpRoute({ metadata: { name: "web", ...metadata }, spec });
  assert.ok(parsed.kind === "ok");
  return parsed.object;
}

const rule = (fields: JsonRecord): HttpRoute["rules"][0] => {
  const [first] = parse({ rules: [fields] }).rules;
  assert.ok(first);
  return first;
};

test("a route is known by its name, age, generation and parents", () => {
  const metadata = { generation: 7, creationTimestamp: "2026-01-01T00:00:00Z", uid: "u" };
  const parentRefs = [
    { group: "", kind: "Service", name: "web", port: 80 },
    { name: "gateway", namespace: "infra", sectionName: "https" },
  ];
  const route = parse({ parentRefs }, metadata);
  assert.equal(route.createdMs, Date.parse("2026-01-01T00:00:00Z"));
  assert.deepEqual([route.namespace, route.name, route.generation], ["default", "web", 7]);
  assert.deepEqual(route.parentRefs, [
    { group: "", kind: "Service", name: "web", port: 80 },
    {
      group: "gateway.networking.k8s.io",
      kind: "Gateway",
      namespace: "infra",
      name: "gateway",
      sectionName: "https",
    },
  ]);
});

test("a parentRef with a port that is none is dropped: without it, it would mean all ports", () => {
  const parentRefs = [{ group: "", kind: "Service", name: "web", port: 70_000 }];
  assert.deepEqual(parse({ parentRefs }).parentRefs, []);
});

test("no rules mean one rule, no matches mean every request, no weight means 1", () => {
  const everything = [{ path: { kind: "prefix", value: "/" }, headers: [], queryParams: [] }];
  assert.deepEqual(parse({}).rules[0]?.matches, everything);
  const one = rule({ backendRefs: [{ name: "web", port: 80 }] });
  assert.deepEqual(one.matches, everything);
  const target = { group: "", kind: "Service", namespace: "default", name: "web", port: 80 };
  assert.deepEqual(one.backendRefs, [{ target, weight: 1, filters: [] }]);
  assert.deepEqual(rule({ matches: [{ headers: [] }] }).matches, everything);
});

test("matches keep the first of several entries of one name, headers in lower case", () => {
  const headers = [
    { name: "X-A", value: "1" },
    { name: "x-a", value: "2" },
    { name: "x-b", type: "RegularExpression", value: "a+" },
  ];
  const queryParams = [
    { name: "Q", value: "1" },
    { name: "q", value: "2" },
  ];
  const [match] = rule({ matches: [{ method: "GET", headers, queryParams }] }).matches;
  assert.deepEqual(match?.headers, [
    { name: "x-a", kind: "exact", value: "1" },
    { name: "x-b", kind: "regex", value: "a+" },
  ]);
  assert.deepEqual(
    match?.queryParams.map(({ name }) => name),
    ["Q", "q"],
  );
  assert.equal(match?.method, "GET");
});

const BAD_MATCHES: readonly JsonRecord[] = [
  { path: { value: "a" } },
  { path: { value: "/a//b" } },
  { path: { value: "/a/../b" } },
  { path: { value: "/a/.." } },
  { path: { value: "/a%2Fb" } },
  { path: { value: "/a#b" } },
  { path: { value: "/a b" } },
  { path: { value: "/\0" } },
  { path: { value: `/${"a".repeat(1_024)}` } },
  { path: { type: "Glob", value: "/*" } },
  { path: { type: "RegularExpression", value: "a".repeat(1_025) } },
  { method: "get" },
  { method: 5 },
  { headers: [{ name: "a b", value: "1" }] },
  { headers: [{ name: "a", value: "" }] },
  { headers: [{ name: "a", type: "Like", value: "1" }] },
  { queryParams: [{ name: "a", value: 1 }] },
  { headers: Array.from({ length: 17 }, (_, i) => ({ name: `h${i}`, value: "1" })) },
];

for (const bad of BAD_MATCHES) {
  test(`a match like ${JSON.stringify(bad).slice(0, 60)} matches nothing and is told`, () => {
    const one = rule({ matches: [bad, { path: { value: "/ok" } }] });
    assert.equal(one.matches.length, 1);
    assert.equal(one.matches[0]?.path.value, "/ok");
    assert.equal(one.fault?.reason, "UnsupportedValue");
  });
}

test("too many matches are a fault and do not become the match of everything", () => {
  const matches = Array.from({ length: 65 }, () => ({}));
  assert.deepEqual(rule({ matches }).matches, []);
  assert.match(rule({ matches }).fault?.message ?? "", /at most 64/);
});

const filter = (type: string, name: string, value: JsonRecord): JsonRecord => ({
  type,
  [name]: value,
});
const redirect = (value: JsonRecord): JsonRecord =>
  filter("RequestRedirect", "requestRedirect", value);
const rewrite = (value: JsonRecord): JsonRecord => filter("URLRewrite", "urlRewrite", value);
const modify = (value: JsonRecord): JsonRecord =>
  filter("RequestHeaderModifier", "requestHeaderModifier", value);
const mirror = (value: JsonRecord): JsonRecord =>
  filter("RequestMirror", "requestMirror", { backendRef: { name: "b", port: 1 }, ...value });

test("each filter is read", () => {
  const change = {
    set: [{ name: "X-A", value: "1" }],
    add: [{ name: "x-b", value: "2, 3" }],
    remove: ["X-C"],
  };
  const target = { group: "", kind: "Service", namespace: "default", name: "b", port: 1 };
  const expected = { set: [["x-a", "1"]], add: [["x-b", "2, 3"]], remove: ["x-c"] };
  const { filters, fault } = rule({
    filters: [
      modify(change),
      filter("ResponseHeaderModifier", "responseHeaderModifier", change),
      rewrite({ hostname: "a.b", path: { type: "ReplaceFullPath", replaceFullPath: "/x" } }),
      mirror({ percent: 25 }),
      mirror({ fraction: { numerator: 1, denominator: 3 } }),
      mirror({}),
    ],
  });
  assert.equal(fault, undefined);
  assert.deepEqual(filters, [
    { kind: "request-headers", change: expected },
    { kind: "response-headers", change: expected },
    { kind: "rewrite", hostname: "a.b", path: { kind: "full", value: "/x" } },
    { kind: "mirror", target, share: 0.25 },
    { kind: "mirror", target, share: 1 / 3 },
    { kind: "mirror", target, share: 1 },
  ]);
  const answer = { scheme: "https", hostname: "a.b", port: 8443, statusCode: 301 };
  const { statusCode: status, ...rest } = answer;
  assert.deepEqual(rule({ filters: [redirect(answer)] }).filters, [
    { kind: "redirect", ...rest, status },
  ]);
  assert.deepEqual(rule({ filters: [redirect({})] }).filters, [{ kind: "redirect", status: 302 }]);
});

const prefixChange = { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/x" } };
const backendRefs = [{ name: "web", port: 80 }];
const UNSUPPORTED: readonly JsonRecord[] = [
  { filters: [{ type: "ExtensionRef", extensionRef: { group: "a", kind: "B", name: "c" } }] },
  { filters: [{ type: "ExternalAuth", externalAuth: {} }] },
  { filters: [{ type: "Nonsense" }] },
  { filters: [null] },
  { filters: Array.from({ length: 17 }, () => mirror({})) },
  { filters: [redirect({ statusCode: 305 })] },
  { filters: [redirect({ scheme: "ftp" })] },
  { filters: [redirect({ port: 0 })] },
  { filters: [redirect({ hostname: "a b" })] },
  { filters: [redirect({ hostname: "*.a" })] },
  { filters: [rewrite({ path: { type: "ReplaceFullPath", replaceFullPath: "/a b" } })] },
  { filters: [rewrite({ path: { type: "ReplaceFullPath", replaceFullPath: "/a\r\nX: y" } })] },
  { filters: [rewrite({ path: { type: "Nonsense" } })] },
  { filters: [rewrite(prefixChange)], matches: [{}, {}] },
  { filters: [rewrite(prefixChange)], matches: [{ path: { type: "Exact", value: "/a" } }] },
  { filters: [modify({ set: [{ name: "a", value: "b\r\nc: d" }] })] },
  { filters: [modify({ set: [{ name: "a", value: " b" }] })] },
  { filters: [modify({ set: [{ name: "a\n", value: "b" }] })] },
  { filters: [modify({ set: [{ name: "a", value: "1" }], remove: ["A"] })] },
  { filters: [modify({ set: [{ name: "Content-Length", value: "1" }] })] },
  { filters: [modify({ remove: ["Transfer-Encoding"] })] },
  { filters: [modify({ set: [{ name: "host", value: "a" }] })] },
  { filters: [mirror({ percent: 101 })] },
  { filters: [mirror({ percent: 1, fraction: { numerator: 1 } })] },
  { filters: [mirror({ fraction: { numerator: 2, denominator: 1 } })] },
  { filters: [mirror({ fraction: { numerator: 0, denominator: 0 } })] },
  { backendRefs: [{ name: "web", port: 80, weight: -1 }] },
  { backendRefs: [{ name: "web", port: 80, weight: 2e6 }] },
  { backendRefs: [{ name: "web", port: 80, weight: Number.MAX_VALUE }] },
  { backendRefs: [{ port: 80 }] },
  { backendRefs: [{ name: "web", port: 1e9 }] },
  { backendRefs: Array.from({ length: 17 }, () => ({ name: "web", port: 80 })) },
  { backendRefs: [{ name: "web", port: 80, filters: [redirect({})] }] },
  { backendRefs: [{ name: "web", port: 80, filters: [filter("CORS", "cors", {})] }] },
  { timeouts: { request: "1 s" } },
  { timeouts: { request: "123456s" } },
  { timeouts: { request: "1s", backendRequest: "2s" } },
  { retry: { codes: [200] } },
  { retry: { attempts: 0 } },
  { retry: { backoff: "soon" } },
  { sessionPersistence: { type: "Nonsense" } },
  { sessionPersistence: { sessionName: "a b" } },
  { sessionPersistence: { cookieConfig: { lifetimeType: "Permanent" } } },
];

for (const fields of UNSUPPORTED) {
  test(`${JSON.stringify(fields).slice(0, 90)} is an unsupported value`, () => {
    const parsed = parseHttpRoute({ metadata: { name: "web" }, spec: { rules: [fields] } });
    assert.ok(parsed.kind === "ok");
    assert.equal(parsed.object.rules[0]?.fault?.reason, "UnsupportedValue");
    assert.ok(parsed.problems.length > 0);
  });
}

for (const [name, fields] of [
  ["a redirect beside a rewrite", { filters: [redirect({}), rewrite({})] }],
  ["a redirect beside backends", { filters: [redirect({})], backendRefs }],
  ["a filter that stands twice", { filters: [modify({}), modify({})] }],
] as const) {
  test(`${name} is incompatible`, () => {
    assert.equal(rule(fields).fault?.reason, "IncompatibleFilters");
  });
}

test("timeouts, retries and sessions are read, and what is huge is bounded", () => {
  const one = rule({
    timeouts: { request: "1m30s", backendRequest: "500ms" },
    retry: { codes: [500, 503, 503], attempts: 1e9, backoff: "1s" },
    sessionPersistence: {
      sessionName: "Tea",
      absoluteTimeout: "1h",
      cookieConfig: { lifetimeType: "Permanent" },
    },
  });
  assert.equal(one.fault, undefined);
  assert.deepEqual(one.timeouts, { requestMs: 90_000, backendRequestMs: 500 });
  const attempts = MAX_RETRY_ATTEMPTS;
  assert.deepEqual(one.retry, { statusCodes: [500, 503], attempts, backoffMs: 1_000 });
  const absoluteTimeoutMs = 3_600_000;
  const session = { kind: "cookie", name: "Tea", absoluteTimeoutMs, permanent: true };
  assert.deepEqual(one.sessionPersistence, session);
  assert.deepEqual(rule({ timeouts: { request: "0s", backendRequest: "1h" } }).timeouts, {
    requestMs: 0,
    backendRequestMs: 3_600_000,
  });
});

test("CORS policies are read, and origins that are none are faults", () => {
  const cors = (value: JsonRecord): HttpRoute["rules"][0] =>
    rule({ filters: [filter("CORS", "cors", value)] });
  const [read] = cors({
    allowOrigins: ["https://*.Example.com:8443", "http://*"],
    allowMethods: ["GET"],
    allowHeaders: ["X-A"],
    allowCredentials: true,
  }).filters;
  assert.deepEqual(read, {
    kind: "cors",
    policy: {
      allowOrigins: ["https://*.example.com:8443", "http://*"],
      allowCredentials: true,
      allowMethods: ["GET"],
      allowHeaders: ["x-a"],
      exposeHeaders: [],
      maxAgeSeconds: 5,
    },
  });
  for (const bad of [
    { allowOrigins: ["ftp://a"] },
    { allowOrigins: ["https://a/b"] },
    { allowOrigins: ["*", "https://a"] },
    { allowMethods: ["get"] },
    { allowHeaders: ["a b"] },
    { maxAge: 0 },
  ]) {
    assert.equal(cors(bad).fault?.reason, "UnsupportedValue", JSON.stringify(bad));
  }
});

test("F12: lists beyond the API's limits make the object invalid, and nothing runs away", () => {
  const million = Array.from({ length: 1_000_000 }, () => ({}));
  for (const spec of [{ rules: million }, { parentRefs: million }]) {
    const parsed = parseHttpRoute({ metadata: { name: "web" }, spec });
    assert.ok(parsed.kind === "invalid");
    assert.match(parsed.problems[0]?.message ?? "", /got 1000000/);
  }
  const one = rule({ matches: million, filters: million, backendRefs: million });
  assert.ok(one.fault);
  assert.deepEqual([one.matches, one.filters, one.backendRefs], [[], [], []]);
});

test("a rule is named by its name, or else by its place", () => {
  const names = parse({ rules: [{ name: "canary" }, {}] }).rules.map(({ name }) => name);
  assert.deepEqual(names, ["canary", "1"]);
});
