import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesTap, parseTapFilter, type TapFilter } from "./admin-protocol.ts";
import { sampleRecord } from "./sample-record.ts";

test("a filter matches when all it asks for is so", () => {
  const record = sampleRecord({ status: 503, path: "/cart/7" });
  const cases: readonly (readonly [TapFilter, boolean])[] = [
    [{}, true],
    [{ service: "default/web" }, true],
    [{ service: "default/web:80" }, true],
    [{ service: "default/web:81" }, false],
    [{ service: "default/we" }, false],
    [{ route: "HTTPRoute default/canary", source: "shop" }, true],
    [{ source: "other" }, false],
    [{ method: "GET", path: "/cart" }, true],
    [{ method: "POST" }, false],
    [{ path: "/x" }, false],
    [{ status: "503" }, true],
    [{ status: "5xx" }, true],
    [{ status: "4xx" }, false],
    [{ status: "500" }, false],
  ];
  for (const [filter, matches] of cases) {
    assert.equal(matchesTap(filter, record), matches, JSON.stringify(filter));
  }
});

test("what a connection has not got matches nothing", () => {
  const { path, status, method, ...record } = sampleRecord({ protocol: "tcp" });
  assert.ok(path !== undefined && status !== undefined && method !== undefined);
  for (const filter of [{ path: "/" }, { status: "2xx" }, { method: "GET" }]) {
    assert.equal(matchesTap(filter, record), false);
  }
});

test("a filter that is none is refused with the reason", () => {
  for (const value of [undefined, [], "x", { service: 1 }, { nothing: "x" }, { status: "20" }]) {
    assert.equal(typeof parseTapFilter(value), "string");
  }
  assert.deepEqual(parseTapFilter({ status: "4xx" }), { status: "4xx" });
});
