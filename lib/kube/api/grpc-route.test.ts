// What GRPCRoutes, TCPRoutes, TLSRoutes, UDPRoutes, ReferenceGrants and Namespaces say.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonRecord } from "./fields.ts";
import { type GrpcRoute, parseGrpcRoute } from "./grpc-route.ts";
import { parseNamespace } from "./namespace.ts";
import { parseReferenceGrant } from "./reference-grant.ts";
import { parseTcpRoute } from "./tcp-route.ts";
import { parseTlsRoute } from "./tls-route.ts";
import { parseUdpRoute } from "./udp-route.ts";

const metadata = { name: "web", namespace: "shop" };

function grpcRule(fields: JsonRecord): GrpcRoute["rules"][0] {
  const parsed = parseGrpcRoute({ metadata, spec: { rules: [fields] } });
  assert.ok(parsed.kind === "ok");
  const [first] = parsed.object.rules;
  assert.ok(first);
  return first;
}

test("a gRPC match names a service, a method, both, or nothing", () => {
  const matches = [
    { method: { service: "foo.Bar", method: "Baz" }, headers: [{ name: "V", value: "1" }] },
    { method: { service: "foo.Bar" } },
    { method: { type: "RegularExpression", method: "Get.*" } },
    {},
  ];
  assert.deepEqual(grpcRule({ matches }).matches, [
    {
      headers: [{ name: "v", kind: "exact", value: "1" }],
      method: { kind: "exact", service: "foo.Bar", method: "Baz" },
    },
    { headers: [], method: { kind: "exact", service: "foo.Bar" } },
    { headers: [], method: { kind: "regex", method: "Get.*" } },
    { headers: [] },
  ]);
  assert.deepEqual(grpcRule({}).matches, [{ headers: [] }]);
});

for (const fields of [
  { matches: [{ method: {} }] },
  { matches: [{ method: { service: "a/b" } }] },
  { matches: [{ method: { method: "a.b" } }] },
  { matches: [{ method: { type: "Nonsense", service: "a" } }] },
  { filters: [{ type: "URLRewrite", urlRewrite: {} }] },
  { filters: [{ type: "CORS", cors: {} }] },
]) {
  test(`${JSON.stringify(fields)} is no rule for gRPC`, () => {
    assert.equal(grpcRule(fields).fault?.reason, "UnsupportedValue");
  });
}

for (const [kind, parse] of [
  ["TCPRoute", parseTcpRoute],
  ["UDPRoute", parseUdpRoute],
] as const)
  test(`a ${kind} has weighted backends`, () => {
    const backendRefs = [
      { name: "a", port: 1, weight: 3 },
      { name: "b", port: 2, namespace: "other" },
    ];
    const parsed = parse({ metadata, spec: { rules: [{ backendRefs }] } });
    assert.ok(parsed.kind === "ok");
    assert.deepEqual(
      parsed.object.rules[0]?.backendRefs.map(({ target, weight }) => [target.namespace, weight]),
      [
        ["shop", 3],
        ["other", 1],
      ],
    );
  });

test("a TLSRoute keeps the hostnames it can read", () => {
  const hostnames = ["a.example", "*.b.example", "*", "A.example", 5, "a..b", "*.*.c"];
  const parsed = parseTlsRoute({ metadata, spec: { hostnames, rules: [{}] } });
  assert.ok(parsed.kind === "ok");
  assert.deepEqual(parsed.object.hostnames, ["a.example", "*.b.example"]);
  assert.equal(parsed.problems.length, 5);
  const many = Array.from({ length: 1_025 }, (_, i) => `h${i}.example`);
  assert.equal(parseTlsRoute({ metadata, spec: { hostnames: many } }).kind, "invalid");
});

test("a ReferenceGrant that cannot be read in part grants less, never more", () => {
  const from = [
    { group: "gateway.networking.k8s.io", kind: "HTTPRoute", namespace: "shop" },
    { group: "gateway.networking.k8s.io", kind: "HTTPRoute" },
  ];
  const to = [
    { group: "", kind: "Service", name: "web" },
    { group: "", kind: "Service", name: 5 },
    { group: "", kind: "Secret" },
  ];
  const parsed = parseReferenceGrant({ metadata, spec: { from, to } });
  assert.ok(parsed.kind === "ok");
  assert.equal(parsed.object.from.length, 1);
  assert.deepEqual(parsed.object.to, [
    { group: "", kind: "Service", name: "web" },
    { group: "", kind: "Secret" },
  ]);
});

test("a Namespace has labels", () => {
  const parsed = parseNamespace({ metadata: { name: "shop", labels: { a: "b", c: 5 } } });
  assert.ok(parsed.kind === "ok");
  assert.deepEqual(parsed.object.labels, { a: "b" });
});
