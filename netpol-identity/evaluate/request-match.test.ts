import assert from "node:assert/strict";
import { test } from "node:test";
import type { HttpRequestMatch, HttpRequestPath } from "../../lib/kube/api/request-match.ts";
import { matchesRequest } from "./request-match.ts";

const HEADERS = new Map([["x-user", "ann"]]);
const holds = (match: HttpRequestMatch, path = "/a/b", method = "GET", host = "api.example.com") =>
  matchesRequest(match, { method, path, host, header: (name) => HEADERS.get(name) });

test("a path matches exactly, by whole segments, or by a template", () => {
  const cases: readonly (readonly [HttpRequestPath["kind"], string, string, boolean])[] = [
    ["exact", "/a", "/a", true],
    ["exact", "/a", "/a/", false],
    ["exact", "/a", "/A", false],
    ["prefix", "/a", "/a", true],
    ["prefix", "/a", "/a/b", true],
    ["prefix", "/a", "/ab", false],
    ["prefix", "/a/", "/a", true],
    ["prefix", "/a/", "/a/b", true],
    ["prefix", "/a/", "/ab", false],
    ["prefix", "/", "/anything", true],
    ["prefix", "/a/b", "/a", false],
    ["template", "/a/{*}", "/a/b", true],
    ["template", "/a/{*}", "/a/", false],
    ["template", "/a/{*}", "/a", false],
    ["template", "/a/{*}", "/a/b/c", false],
    ["template", "/{*}/b/{*}", "/x/b/y", true],
    ["template", "/{*}/b/{*}", "/x/c/y", false],
    ["template", "/a/{**}", "/a/b/c", true],
    ["template", "/a/{**}", "/a", true],
    ["template", "/a/{**}", "/ab", false],
    ["template", "/{**}", "/", true],
    ["template", "/a.b/(x)+", "/a.b/(x)+", true],
    ["template", "/a.b", "/axb", false],
  ];
  for (const [kind, value, path, expected] of cases) {
    assert.equal(holds({ path: { kind, value } }, path), expected, `${kind} ${value} of ${path}`);
  }
});

test("a host matches whole, or by one label or more under a star", () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ["api.example.com", "api.example.com", true],
    ["example.com", "api.example.com", false],
    ["*.example.com", "api.example.com", true],
    ["*.example.com", "a.b.example.com", true],
    ["*.example.com", "example.com", false],
    ["*.example.com", ".example.com", false],
    ["*.example.com", "badexample.com", false],
  ];
  for (const [pattern, host, expected] of cases) {
    assert.equal(holds({ hosts: [pattern] }, "/", "GET", host), expected, `${pattern} of ${host}`);
  }
});

test("every part must hold that is there, and a list that is there and empty holds for nothing", () => {
  assert.equal(holds({}), true);
  assert.equal(holds({ methods: ["PUT", "GET"] }), true);
  assert.equal(holds({ methods: ["get"] }), false);
  assert.equal(holds({ methods: [] }), false);
  assert.equal(holds({ hosts: [] }), false);
  assert.equal(holds({ headers: [{ name: "x-user" }] }), true);
  assert.equal(holds({ headers: [{ name: "x-user", value: "ann" }] }), true);
  assert.equal(holds({ headers: [{ name: "x-user", value: "bob" }] }), false);
  assert.equal(holds({ headers: [{ name: "x-user" }, { name: "x-team" }] }), false);
  assert.equal(holds({ methods: ["GET"], path: { kind: "exact", value: "/c" } }), false);
});
