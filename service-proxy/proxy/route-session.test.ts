// Sessions: what is given to a client is what it brings back, as long as it is good.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { PathMatch, SessionPersistence } from "../model/route-table.ts";
import { decodeToken, encodeToken, readSession, sessionField } from "./route-session.ts";
import { sampleMatch } from "./sample-rules.ts";

const COOKIE: SessionPersistence = { kind: "cookie", name: "s", permanent: false };
const HEADER: SessionPersistence = { kind: "header", name: "x-s", permanent: false };
const TOKEN = { endpoint: "10.1.0.7:8080", startMs: 1_000_000 };
const TEXT = encodeToken(TOKEN);

test("a cookie or header that was given is a session", () => {
  const [name, cookie] = sessionField(COOKIE, TOKEN, sampleMatch());
  assert.equal(name, "set-cookie");
  assert.equal(cookie, `s=${TEXT}; Path=/; HttpOnly; SameSite=Strict`);
  assert.deepEqual(sessionField(HEADER, TOKEN, sampleMatch()), ["x-s", TEXT]);
  assert.deepEqual(readSession(["cookie", `a=b; s=${TEXT}`], COOKIE, 0), TOKEN);
  assert.deepEqual(readSession(["cookie", "a=b", "cookie", `s=${TEXT};c=d`], COOKIE, 0), TOKEN);
  assert.deepEqual(readSession(["x-s", TEXT], HEADER, 0), TOKEN);
});

test("a session ends with its absolute timeout", () => {
  const limited = { ...HEADER, absoluteTimeoutMs: 5_000 };
  const at = (nowMs: number): unknown => readSession(["x-s", TEXT], limited, nowMs);
  assert.deepEqual(at(1_004_999), TOKEN);
  assert.equal(at(1_005_000), undefined);
  // From the future: somebody made it up.
  assert.equal(at(999_999), undefined);
});

test("a permanent cookie lives as long as the session", () => {
  const permanent = { ...COOKIE, permanent: true, absoluteTimeoutMs: 90_500 };
  assert.match(sessionField(permanent, TOKEN, sampleMatch())[1], /; Max-Age=91;/);
});

const PATHS: readonly (readonly [PathMatch | undefined, string])[] = [
  [undefined, "/"],
  [{ kind: "prefix", value: "/a" }, "/a"],
  [{ kind: "exact", value: "/a/b" }, "/a/b"],
  [{ kind: "exact", value: "/a;b=c" }, "/a"],
  [{ kind: "regex", value: "/p1/p2/.*/p3" }, "/p1/p2"],
  [{ kind: "regex", value: "^/p1/x[0-9]" }, "/p1"],
  [{ kind: "regex", value: ".*" }, "/"],
];
for (const [path, wanted] of PATHS) {
  test(`the cookie of ${path?.value ?? "every path"} is for ${wanted}`, () => {
    const [, cookie] = sessionField(COOKIE, TOKEN, sampleMatch(path && { path }));
    assert.ok(cookie.includes(`; Path=${wanted};`), cookie);
  });
}

test("property: tokens survive the way, and what is no token is none", () => {
  fc.assert(
    fc.property(fc.ipV6(), fc.integer({ min: 1, max: 65_535 }), fc.nat(), (ip, port, startMs) => {
      const token = { endpoint: `[${ip}]:${port}`, startMs };
      assert.deepEqual(decodeToken(encodeToken(token)), token);
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => decodeToken(text) === undefined));
  for (const bad of ["", "AAAA", "a".repeat(10_000), Buffer.from("2 1 a").toString("base64url")]) {
    assert.equal(decodeToken(bad), undefined);
  }
});
