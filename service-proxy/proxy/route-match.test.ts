// Which rule serves which request; and whatever the index does, it finds what reading the table
// from the top would find.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RequestHead } from "../../lib/http/message.ts";
import { compileRegex } from "../model/route-regex.ts";
import type { PathMatch, RouteMatch, RouteRule, ValueMatch } from "../model/route-table.ts";
import { compileRoutes } from "./route-match.ts";
import { sampleHead, sampleRule } from "./sample-rules.ts";

function matches(match: Partial<RouteMatch>, head: RequestHead): boolean {
  return compileRoutes({ rules: [sampleRule(match)] }).match(head, undefined) !== undefined;
}

const exact = (value: string): PathMatch => ({ kind: "exact", value });
const prefix = (value: string): PathMatch => ({ kind: "prefix", value });
const regex = (value: string): PathMatch => ({ kind: "regex", value });

const PATHS: readonly (readonly [PathMatch, yes: readonly string[], no: readonly string[]])[] = [
  [exact("/a"), ["/a", "/a?b=/c"], ["/a/", "/A", "/ab", "/", "*", ""]],
  [exact("/a/"), ["/a/"], ["/a"]],
  [exact("/"), ["/", "/?a"], ["/a", "*"]],
  [prefix("/"), ["/", "/a", "/a/b?c", "*", ""], []],
  [prefix("/a"), ["/a", "/a/", "/a/b", "/a?b"], ["/ab", "/A", "/", "/b/a", "*"]],
  [prefix("/a/"), ["/a", "/a/", "/a/b"], ["/ab"]],
  [prefix("/a/b"), ["/a/b", "/a/b/c"], ["/a", "/a/bc", "/a/"]],
  [regex("/v[0-9]+/.*"), ["/v1/", "/v12/a?b"], ["/v/", "/v1", "/a/v1/"]],
];
for (const [path, yes, no] of PATHS) {
  test(`${path.kind} ${path.value} matches ${yes.join(" ")}`, () => {
    for (const one of yes) assert.ok(matches({ path }, sampleHead(one)), one);
    for (const one of no) assert.ok(!matches({ path }, sampleHead(one)), one);
  });
}

const value = (name: string, wanted: string, kind: ValueMatch["kind"] = "exact"): ValueMatch => ({
  name,
  kind,
  value: wanted,
});

test("headers match by their values, lines of one name joined by commas", () => {
  const head = sampleHead("/", { fields: ["a", "1", "b", "2", "a", "3"] });
  assert.ok(matches({ headers: [value("a", "1,3"), value("b", "2")] }, head));
  assert.ok(matches({ headers: [value("a", "1.*", "regex")] }, head));
  assert.ok(!matches({ headers: [value("a", "1")] }, head));
  assert.ok(!matches({ headers: [value("a", "1,3"), value("c", "2")] }, head));
  assert.ok(!matches({ headers: [value("c", ".*", "regex")] }, head));
});

test("Host is a header to match by, and the authority is its value", () => {
  assert.ok(matches({ headers: [value("host", "web.shop")] }, sampleHead("/")));
  assert.ok(
    !matches({ headers: [value("host", ".*", "regex")] }, sampleHead("/", { authority: "" })),
  );
});

test("query parameters match by their first value, decoded", () => {
  const yes = ["/?a=1", "/?b=2&a=1", "/?a=1&a=2", "/?%61=%31", "/?a=1&%zz"];
  for (const path of yes)
    assert.ok(matches({ queryParams: [value("a", "1")] }, sampleHead(path)), path);
  const no = ["/", "/?", "/?a", "/?a=", "/?a=2&a=1", "/?A=1", "/?aa=1", "/?=1", "/?a=1%zz", "/?&&"];
  for (const path of no)
    assert.ok(!matches({ queryParams: [value("a", "1")] }, sampleHead(path)), path);
  assert.ok(matches({ queryParams: [value("a", "b c")] }, sampleHead("/?a=b+c")));
  assert.ok(matches({ queryParams: [value("a", "", "regex")] }, sampleHead("/?a")));
});

test("methods match as they are", () => {
  assert.ok(matches({ method: "GET" }, sampleHead("/")));
  assert.ok(!matches({ method: "GET" }, sampleHead("/", { method: "get" })));
});

test("hosts match without their port, in any case; wildcards take one label or more", () => {
  const host = (authority: string, ...hostnames: readonly string[]): boolean =>
    matches({ hostnames }, sampleHead("/", { authority }));
  assert.ok(host("A.Example:80", "a.example"));
  assert.ok(host("a.example.", "a.example"));
  assert.ok(host("x.y.a.example", "b", "*.a.example"));
  assert.ok(!host("a.example", "*.a.example"));
  assert.ok(!host("xa.example", "*.a.example"));
  assert.ok(host("[fd00::1]:80", "[fd00::1]"));
});

test("clients of a namespace with consumer routes see only these, others none of them", () => {
  const own = sampleRule({ clientNamespace: "n", path: exact("/a") });
  const all = sampleRule({});
  const both = compileRoutes({ rules: [own, all] });
  assert.equal(both.match(sampleHead("/a"), "n"), own);
  assert.equal(both.match(sampleHead("/b"), "n"), undefined);
  assert.equal(both.match(sampleHead("/a"), "m"), all);
  assert.equal(both.match(sampleHead("/a"), undefined), all);
  const consumers = compileRoutes({ rules: [own] });
  assert.deepEqual(
    ["n", "m", undefined].map((name) => consumers.appliesTo(name)),
    [true, false, false],
  );
  assert.ok(both.appliesTo("m"));
});

test("the order of the table decides, whatever the kinds of path", () => {
  const kinds = [exact("/a"), regex("/a.*"), prefix("/a"), prefix("/"), regex("/.")];
  for (const first of kinds) {
    const rules = [first, ...kinds].map((path) => sampleRule({ path }));
    assert.equal(compileRoutes({ rules }).match(sampleHead("/a"), undefined), rules[0]);
  }
});

const segment = fc.constantFrom("a", "b", "ab");
const somePath = fc
  .tuple(fc.array(segment, { maxLength: 4 }), fc.boolean())
  .map(([segments, slash]) => `/${segments.join("/")}${slash && segments.length > 0 ? "/" : ""}`);
const somePathMatch: fc.Arbitrary<PathMatch> = fc.oneof(
  somePath.map(exact),
  somePath.map(prefix),
  fc.constantFrom("/a.*", "/[^/]+", ".*b", "/a/(a|b)").map(regex),
);
const someValues = fc.array(
  fc.record({
    name: fc.constantFrom("a", "b"),
    kind: fc.constantFrom("exact" as const, "regex" as const),
    value: fc.constantFrom("1", "2", ".*"),
  }),
  { maxLength: 2 },
);
const someRule = fc
  .record(
    {
      path: somePathMatch,
      method: fc.constantFrom("GET", "PUT"),
      headers: someValues,
      queryParams: someValues,
      hostnames: fc.subarray(["a.example", "*.example"]),
      clientNamespace: fc.constantFrom("n", "m"),
    },
    { requiredKeys: [] },
  )
  .map((match) => sampleRule(match));
const someHead = fc
  .record({
    path: fc
      .tuple(somePath, fc.constantFrom("", "?a=1", "?b=2&a=2"))
      .map(([path, query]) => `${path}${query}`),
    method: fc.constantFrom("GET", "PUT"),
    authority: fc.constantFrom("a.example", "b.a.example:80", "x"),
    fields: fc.subarray(["a", "b"]).map((names) => names.flatMap((name) => [name, "1"])),
  })
  .map(({ path, ...head }) => sampleHead(path, head));

test("property: the index finds the first rule that a reader of the table would find", () => {
  fc.assert(
    fc.property(
      fc.array(someRule, { maxLength: 20 }),
      fc.array(someHead, { minLength: 1, maxLength: 8 }),
      fc.constantFrom("n", undefined),
      (rules, heads, client) => {
        const matcher = compileRoutes({ rules });
        for (const head of heads) {
          const found = matcher.match(head, client);
          assert.equal(found, naiveMatch(rules, head, client));
        }
      },
    ),
    { numRuns: 1_000 },
  );
});

/** The definition: from the top, everything that is given must match. */
function naiveMatch(
  rules: readonly RouteRule[],
  head: RequestHead,
  client: string | undefined,
): RouteRule | undefined {
  const consumer = rules.some(({ match }) => match.clientNamespace === client);
  const audience = consumer ? client : undefined;
  const url = new URL(head.path, "http://h");
  const headers = new Headers();
  for (let i = 0; i < head.fields.length; i += 2) {
    headers.append(head.fields[i] ?? "", head.fields[i + 1] ?? "");
  }
  const host = head.authority.replace(/:\d+$/, "");
  return rules.find(({ match }) => {
    const { path, method, hostnames, queryParams } = match;
    if (match.clientNamespace !== audience) return false;
    if (path !== undefined && !naivePath(path, url.pathname)) return false;
    if (method !== undefined && method !== head.method) return false;
    const hosts = hostnames.map((name) => name.replace("*.", ".*."));
    if (hosts.length > 0 && !hosts.some((name) => naiveRegex(name, host))) return false;
    const fits = (
      get: (name: string) => string | null,
      { name, kind, value: want }: ValueMatch,
    ): boolean => {
      const got = get(name);
      if (got === null) return false;
      return kind === "exact" ? got === want : naiveRegex(want, got);
    };
    return (
      match.headers.every((one) => fits((name) => headers.get(name), one)) &&
      queryParams.every((one) => fits((name) => url.searchParams.get(name), one))
    );
  });
}

function naivePath({ kind, value: want }: PathMatch, path: string): boolean {
  if (kind === "exact") return path === want;
  if (kind === "regex") return naiveRegex(want, path);
  const elements = want.split("/").filter((one) => one !== "");
  const given = path.split("/").slice(1);
  return elements.every((one, i) => given[i] === one);
}

function naiveRegex(pattern: string, text: string): boolean {
  const compiled = compileRegex(pattern);
  return compiled.kind === "regex" && compiled.test(text);
}
