// What each filter does to a head.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { PathChange, RouteBackend, RouteFilter } from "../model/route-table.ts";
import { changeFields, changePath, filterRequest, filterResponse } from "./route-filters.ts";
import { filterRule, sampleHead, sampleRule } from "./sample-rules.ts";

const PLAIN: RouteBackend = { weight: 1, filters: [] };

test("fields are removed, replaced and appended; the others keep their order", () => {
  const fields = ["a", "1", "b", "2", "a", "3", "c", "4"];
  const change = {
    set: [["a", "x"]],
    add: [
      ["c", "5"],
      ["d", "6"],
    ],
    remove: ["b"],
  } as const;
  assert.deepEqual(changeFields(fields, change), ["c", "4", "a", "x", "c", "5", "d", "6"]);
  assert.deepEqual(changeFields(fields, { set: [], add: [], remove: [] }), fields);
});

/** HTTPPathModifier's own table, and what it leaves open. */
const PREFIX_CHANGES: readonly (readonly [string, string, string, string])[] = [
  ["/foo/bar", "/foo", "/xyz", "/xyz/bar"],
  ["/foo/bar", "/foo", "/xyz/", "/xyz/bar"],
  ["/foo/bar", "/foo/", "/xyz", "/xyz/bar"],
  ["/foo/bar", "/foo/", "/xyz/", "/xyz/bar"],
  ["/foo", "/foo", "/xyz", "/xyz"],
  ["/foo/", "/foo", "/xyz", "/xyz/"],
  ["/foo/bar", "/foo", "", "/bar"],
  ["/foo/", "/foo", "", "/"],
  ["/foo", "/foo", "", "/"],
  ["/foo/", "/foo", "/", "/"],
  ["/foo", "/foo", "/", "/"],
  ["/foo", "/foo", "/xyz/", "/xyz"],
  ["/bar", "/", "/xyz", "/xyz/bar"],
  ["/", "/", "/xyz", "/xyz/"],
  ["/foo/bar?a=/foo", "/foo", "/xyz", "/xyz/bar?a=/foo"],
  ["/foo?a", "/foo", "", "/?a"],
  ["*", "/", "/xyz", "*"],
];
for (const [path, prefix, value, changed] of PREFIX_CHANGES) {
  test(`${path} below ${prefix} with "${value}" in its place is ${changed}`, () => {
    assert.equal(changePath(path, { kind: "prefix", value }, prefix), changed);
  });
}

test("a full path replaces all but the query", () => {
  assert.equal(changePath("/a/b?c=d", { kind: "full", value: "/x" }, "/"), "/x?c=d");
  assert.equal(changePath("*", { kind: "full", value: "/x" }, "/"), "*");
});

test("a rewrite changes host, path, both or nothing", () => {
  const path: PathChange = { kind: "prefix", value: "/x" };
  const apply = (filter: RouteFilter): readonly string[] => {
    const head = filterRequest(sampleHead("/a/b"), filterRule(filter, "/a"), PLAIN);
    return [head.authority, head.path];
  };
  assert.deepEqual(apply({ kind: "rewrite", path }), ["web.shop", "/x/b"]);
  assert.deepEqual(apply({ kind: "rewrite", hostname: "b" }), ["b", "/a/b"]);
  assert.deepEqual(apply({ kind: "rewrite", hostname: "b", path }), ["b", "/x/b"]);
  assert.deepEqual(apply({ kind: "rewrite" }), ["web.shop", "/a/b"]);
});

const adding = (kind: "request-headers" | "response-headers", name: string): RouteFilter => ({
  kind,
  change: { set: [], add: [[name, "1"]], remove: [] },
});

test("the backend's filters come after the rule's on the way there, and before on the way back", () => {
  const filters = [adding("request-headers", "a"), adding("response-headers", "b")];
  const backend = {
    weight: 1,
    filters: [adding("request-headers", "c"), adding("response-headers", "d")],
  };
  const rule = sampleRule({}, { filters });
  assert.deepEqual(filterRequest(sampleHead("/"), rule, backend).fields, ["a", "1", "c", "1"]);
  const response = filterResponse({ status: 200, fields: [] }, rule, backend);
  assert.deepEqual(response.fields, ["d", "1", "b", "1"]);
});

test("heads that no filter is about stay the same objects", () => {
  const head = sampleHead("/");
  const response = { status: 200, fields: ["a", "1"] };
  assert.equal(filterRequest(head, sampleRule(), PLAIN), head);
  assert.equal(filterResponse(response, sampleRule(), PLAIN), response);
});
