// CORS: which origins, and what is said to them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type FieldLines, fieldValue } from "../../lib/http/message.ts";
import type { HttpCorsPolicy } from "../../lib/kube/api/http-route-cors.ts";
import { answerPreflight, applyCors } from "./route-cors.ts";
import { sampleHead } from "./sample-rules.ts";

const POLICY: HttpCorsPolicy = {
  allowOrigins: ["https://www.foo.com", "https://*.bar.com"],
  allowCredentials: true,
  allowMethods: ["GET", "OPTIONS"],
  allowHeaders: ["x-1", "x-2"],
  exposeHeaders: ["x-3", "x-4"],
  maxAgeSeconds: 3_600,
};
const ANY: HttpCorsPolicy = {
  allowOrigins: ["*"],
  allowCredentials: false,
  allowMethods: ["*"],
  allowHeaders: ["*"],
  exposeHeaders: ["*"],
  maxAgeSeconds: 5,
};

function preflight(
  policy: HttpCorsPolicy,
  origin: string,
  more: FieldLines = [],
): ReadonlyMap<string, string> {
  const fields = ["origin", origin, "access-control-request-method", "PUT", ...more];
  const answer = answerPreflight(sampleHead("/", { method: "OPTIONS", fields }), policy);
  assert.equal(answer?.status, 204);
  return corsFields(answer.fields);
}

function corsFields(fields: FieldLines): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (name.startsWith("access-control-")) found.set(name.slice(15), fields[i + 1] ?? "");
  }
  return found;
}

test("a preflight of an allowed origin is told what is allowed", () => {
  assert.deepEqual(Object.fromEntries(preflight(POLICY, "https://www.foo.com")), {
    "allow-origin": "https://www.foo.com",
    "allow-credentials": "true",
    "allow-methods": "GET, OPTIONS",
    "allow-headers": "x-1, x-2",
    "expose-headers": "x-3, x-4",
    "max-age": "3600",
  });
});

test("a preflight of another origin is told nothing", () => {
  assert.equal(preflight(POLICY, "https://foobar.com").size, 0);
});

const ORIGINS: readonly (readonly [allowed: string, origin: string, yes: boolean])[] = [
  ["https://a.b", "https://a.b", true],
  ["https://a.b", "https://A.B", true],
  ["https://a.b", "http://a.b", false],
  ["https://a.b", "https://a.b:443", true],
  ["https://a.b", "https://a.b:8443", false],
  ["http://a.b:80", "http://a.b", true],
  ["https://*.b", "https://a.b", true],
  ["https://*.b", "https://x.a.b", true],
  ["https://*.b", "https://b", false],
  ["https://*.b", "https://ab", false],
  ["https://*.b:81", "https://a.b", false],
  ["https://*", "https://a.b", true],
  ["https://*", "http://a.b", false],
  ["https://*", "https://a.b:81", false],
  ["*", "https://a.b:81", true],
  ["*", "null", true],
  ["https://*", "null", false],
  ["https://a.b", "https://a.b/", false],
  ["https://a.b", "https://a.b@evil", false],
];
for (const [allowed, origin, yes] of ORIGINS) {
  test(`${allowed} ${yes ? "allows" : "does not allow"} ${origin}`, () => {
    const fields = preflight({ ...POLICY, allowOrigins: [allowed] }, origin);
    assert.equal(fields.get("allow-origin"), yes ? origin : undefined);
  });
}

test("* is answered with what was asked for; the origin too where there are credentials", () => {
  const asked = ["access-control-request-headers", "x-9"];
  const without = preflight(ANY, "https://a.b", asked);
  assert.deepEqual(
    ["allow-origin", "allow-methods", "allow-headers", "allow-credentials", "expose-headers"].map(
      (name) => without.get(name),
    ),
    ["*", "PUT", "x-9", undefined, "*"],
  );
  const credentials = preflight({ ...ANY, allowCredentials: true }, "https://a.b", asked);
  assert.deepEqual(
    ["allow-origin", "allow-headers", "expose-headers"].map((name) => credentials.get(name)),
    ["https://a.b", "x-9", undefined],
  );
  assert.equal(preflight(ANY, "https://a.b").has("allow-headers"), false);
});

test("an OPTIONS that asks for nothing goes to the backend", () => {
  const options = (fields: FieldLines): unknown =>
    answerPreflight(sampleHead("/", { method: "OPTIONS", fields }), POLICY);
  assert.equal(options(["origin", "https://www.foo.com"]), undefined);
  assert.equal(options(["access-control-request-method", "GET"]), undefined);
  const fields = ["origin", "https://www.foo.com", "access-control-request-method", "GET"];
  assert.equal(answerPreflight(sampleHead("/", { fields }), POLICY), undefined);
});

test("responses carry the policy, and nothing that the backend said of CORS", () => {
  const response = { status: 200, fields: ["access-control-allow-origin", "*", "a", "1"] };
  const to = (origin: string | undefined, policy: HttpCorsPolicy): FieldLines => {
    const fields = origin === undefined ? [] : ["origin", origin];
    return applyCors(response, sampleHead("/", { fields }), policy).fields;
  };
  assert.deepEqual(Object.fromEntries(corsFields(to("https://x.bar.com", POLICY))), {
    "allow-origin": "https://x.bar.com",
    "allow-credentials": "true",
    "expose-headers": "x-3, x-4",
  });
  assert.deepEqual(to("https://evil", POLICY), ["a", "1", "vary", "origin"]);
  assert.deepEqual(to(undefined, POLICY), ["a", "1", "vary", "origin"]);
  assert.equal(fieldValue(to("https://a", ANY), "access-control-allow-origin"), "*");
  assert.equal(fieldValue(to("https://a", ANY), "vary"), undefined);
});
