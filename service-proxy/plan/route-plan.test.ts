// Which routes have which ports, what they are told, and where their references lead.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonRecord } from "../../lib/kube/api/fields.ts";
import { MAX_EXPRESSIONS } from "./route-draft.ts";
import { makeRoutePlanner } from "./route-plan.ts";
import {
  conditionsOf,
  planSample,
  type SampleRoute,
  sampleSource,
  tableOf,
  WEB,
} from "./sample-routes.ts";

const ACCEPTED = "Accepted=True/Accepted";
const RESOLVED = "ResolvedRefs=True/ResolvedRefs";
const TO_A = { backendRefs: [{ name: "a", port: 80 }] };

function http(name: string, rule: JsonRecord, more: Partial<SampleRoute> = {}): SampleRoute {
  return { kind: "HTTPRoute", name, spec: { rules: [rule] }, ...more };
}

function withParent(ref: JsonRecord, kind: SampleRoute["kind"] = "HTTPRoute"): SampleRoute {
  return { kind, name: "r", spec: { parentRefs: [ref], rules: [TO_A] } };
}

test("a route on a Service has all of its TCP ports, is accepted, and names its backends", () => {
  const plan = planSample(http("r", TO_A));
  assert.deepEqual([...plan.ports.keys()], ["shop/web:80", "shop/web:81"]);
  assert.deepEqual(plan.ports.get("shop/web:80")?.names, ["HTTPRoute shop/r"]);
  assert.deepEqual(tableOf(plan).rules[0]?.backends, [
    { group: "shop/a:80", weight: 1, filters: [] },
  ]);
  assert.deepEqual(
    [...plan.groups],
    [["shop/a:80", { service: "shop/a", port: 80, http2: false }]],
  );
  assert.deepEqual(conditionsOf(plan, "r"), [ACCEPTED, RESOLVED]);
  const [parent] = plan.statuses[0]?.parents ?? [];
  assert.deepEqual(parent?.parentRef, WEB);
  assert.equal(parent?.controllerName, "innermesh.io/gateway");
  assert.deepEqual(new Set(parent?.conditions.map((one) => one.observedGeneration)), new Set([3]));
  assert.deepEqual(plan.problems, []);
});

test("parentRef.port and sectionName scope a route to one port, and both must agree", () => {
  const ports = (ref: JsonRecord): readonly string[] => [
    ...planSample(withParent({ ...WEB, ...ref })).ports.keys(),
  ];
  assert.deepEqual(ports({ port: 81 }), ["shop/web:81"]);
  assert.deepEqual(ports({ sectionName: "admin" }), ["shop/web:81"]);
  assert.deepEqual(ports({ port: 81, sectionName: "admin" }), ["shop/web:81"]);
  assert.deepEqual(ports({ port: 80, sectionName: "admin" }), []);
  assert.deepEqual(ports({ port: 53 }), []);
});

for (const ref of [{ name: "none" }, { port: 82 }, { sectionName: "x" }, { namespace: "none" }]) {
  test(`a parent that is not there (${JSON.stringify(ref)}) is no matching parent`, () => {
    const plan = planSample(withParent({ ...WEB, ...ref }));
    assert.deepEqual(conditionsOf(plan, "r"), ["Accepted=False/NoMatchingParent", RESOLVED]);
    assert.match(plan.problems[0]?.message ?? "", /^NoMatchingParent: /);
  });
}

test("parents of other kinds are for others: no status, no port", () => {
  for (const ref of [{ name: "gateway" }, { group: "x.io", kind: "Service", name: "web" }]) {
    const plan = planSample(withParent(ref));
    assert.deepEqual([plan.ports.size, plan.statuses.length], [0, 0]);
  }
});

test("each parentRef has a status of its own", () => {
  const parentRefs = [{ name: "gateway" }, { ...WEB, port: 82 }, { ...WEB, port: 80 }];
  const plan = planSample({ kind: "HTTPRoute", name: "r", spec: { parentRefs, rules: [TO_A] } });
  assert.equal(plan.statuses[0]?.parents.length, 2);
  assert.equal(conditionsOf(plan, "r", 0)[0], "Accepted=False/NoMatchingParent");
  assert.equal(conditionsOf(plan, "r", 1)[0], ACCEPTED);
});

const BAD_REFS: readonly (readonly [string, JsonRecord, string])[] = [
  ["an unknown kind", { group: "x.io", kind: "Bucket", name: "a", port: 80 }, "InvalidKind"],
  ["a Service that is not there", { name: "none", port: 80 }, "BackendNotFound"],
  ["a port that is not there", { name: "a", port: 81 }, "BackendNotFound"],
  ["no port", { name: "a" }, "BackendNotFound"],
  ["a UDP port", { name: "web", port: 53 }, "BackendNotFound"],
  ["another namespace", { namespace: "other", name: "c", port: 80 }, "RefNotPermitted"],
  ["another namespace's nothing", { namespace: "other", name: "n", port: 80 }, "RefNotPermitted"],
  ["a protocol in TLS", { name: "wss", port: 80 }, "UnsupportedProtocol"],
];
for (const [name, ref, reason] of BAD_REFS) {
  test(`a reference to ${name} is ${reason}, and its share of requests answers 500`, () => {
    const plan = planSample(http("r", { backendRefs: [ref, { name: "a", port: 80, weight: 3 }] }));
    assert.deepEqual(conditionsOf(plan, "r"), [ACCEPTED, `ResolvedRefs=False/${reason}`]);
    assert.deepEqual(tableOf(plan).rules[0]?.backends, [
      { weight: 1, filters: [] },
      { group: "shop/a:80", weight: 3, filters: [] },
    ]);
  });
}

const grant = (from: JsonRecord, to: JsonRecord): SampleRoute => ({
  kind: "ReferenceGrant",
  name: "g",
  namespace: "other",
  spec: {
    from: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", namespace: "shop", ...from }],
    to: [{ group: "", kind: "Service", ...to }],
  },
});
const TO_C = http("r", { backendRefs: [{ namespace: "other", name: "c", port: 80 }] });

for (const [name, given, resolved] of [
  ["for the namespace", grant({}, {}), true],
  ["for the Service", grant({}, { name: "c" }), true],
  ["for another Service", grant({}, { name: "d" }), false],
  ["for another kind of target", grant({}, { kind: "Secret" }), false],
  ["for another kind of route", grant({ kind: "TCPRoute" }, {}), false],
  ["for another namespace", grant({ namespace: "x" }, {}), false],
  ["in another namespace", { ...grant({}, {}), namespace: "shop" }, false],
] as const) {
  test(`a ReferenceGrant ${name} ${resolved ? "permits" : "does not permit"} the reference`, () => {
    const plan = planSample(TO_C, given);
    const wanted = resolved ? RESOLVED : "ResolvedRefs=False/RefNotPermitted";
    assert.deepEqual(conditionsOf(plan, "r"), [ACCEPTED, wanted]);
  });
}

test("a mirror that leads nowhere is dropped, and told", () => {
  const requestMirror = { backendRef: { name: "none", port: 80 } };
  const rule = { ...TO_A, filters: [{ type: "RequestMirror", requestMirror }] };
  const plan = planSample(http("r", rule));
  assert.deepEqual(tableOf(plan).rules[0]?.filters, []);
  assert.equal(conditionsOf(plan, "r")[1], "ResolvedRefs=False/BackendNotFound");
});

test("a consumer route is for the clients of its namespace, and may send to its parent", () => {
  const parentRefs = [{ ...WEB, namespace: "shop", port: 80 }];
  const backendRefs = [{ namespace: "shop", name: "web", port: 80 }];
  const spec = { parentRefs, rules: [{ backendRefs }] };
  const consumer: SampleRoute = { kind: "HTTPRoute", name: "c", namespace: "other", spec };
  const plan = planSample(consumer, http("p", TO_A));
  assert.deepEqual(conditionsOf(plan, "c"), [ACCEPTED, RESOLVED]);
  assert.deepEqual(
    tableOf(plan).rules.map(({ route, match }) => [route, match.clientNamespace]),
    [
      ["HTTPRoute other/c", "other"],
      ["HTTPRoute shop/p", undefined],
    ],
  );
});

test("consumers route requests only, and not on a port whose bytes the producer routes", () => {
  const parentRefs = [{ ...WEB, namespace: "shop" }];
  const backendRefs = [{ namespace: "shop", name: "web", port: 80 }];
  const consumer = (kind: SampleRoute["kind"]): SampleRoute => ({
    kind,
    name: "c",
    namespace: "other",
    spec: { parentRefs, hostnames: ["a.example"], rules: [{ backendRefs }] },
  });
  for (const kind of ["TCPRoute", "TLSRoute"] as const) {
    const plan = planSample(consumer(kind));
    assert.equal(plan.ports.size, 0);
    assert.equal(conditionsOf(plan, "c")[0], "Accepted=False/NotAllowedByListeners");
  }
  const producer: SampleRoute = { kind: "TCPRoute", name: "p", spec: { rules: [TO_A] } };
  const plan = planSample(consumer("HTTPRoute"), producer);
  assert.equal(conditionsOf(plan, "c")[0], "Accepted=False/Conflicted");
  assert.equal(plan.ports.get("shop/web:80")?.kind, "tcp");
});

test("of several kinds on one port gRPC wins over HTTP, HTTP over TLS, TLS over TCP", () => {
  const kinds = ["GRPCRoute", "HTTPRoute", "TLSRoute", "TCPRoute"] as const;
  const all = kinds.map(
    (kind, i): SampleRoute => ({
      kind,
      name: kind.toLowerCase(),
      // Age does not count between kinds.
      age: -i,
      spec: { hostnames: ["a.example"], rules: [TO_A] },
    }),
  );
  for (let first = 0; first < kinds.length; first++) {
    const plan = planSample(...all.slice(first));
    const accepted = all
      .slice(first)
      .filter(({ name }) => conditionsOf(plan, name)[0] === ACCEPTED);
    assert.deepEqual(
      accepted.map(({ kind }) => kind),
      [kinds[first]],
    );
    for (const { name } of all.slice(first + 1)) {
      assert.equal(conditionsOf(plan, name)[0], "Accepted=False/Conflicted");
    }
  }
});

test("a route that lost one of its ports is accepted for the other", () => {
  const parentRefs = [{ ...WEB, port: 80 }];
  const grpc: SampleRoute = { kind: "GRPCRoute", name: "g", spec: { parentRefs, rules: [TO_A] } };
  const plan = planSample(grpc, http("h", TO_A));
  assert.equal(conditionsOf(plan, "h")[0], ACCEPTED);
  assert.deepEqual(plan.ports.get("shop/web:80")?.names, ["GRPCRoute shop/g"]);
  assert.deepEqual(plan.ports.get("shop/web:81")?.names, ["HTTPRoute shop/h"]);
});

test("backends speak HTTP/2 when gRPC goes to them or their port says so", () => {
  const backendRefs = [
    { name: "a", port: 80 },
    { name: "b", port: 80 },
  ];
  const http2 = (kind: SampleRoute["kind"]): readonly (boolean | undefined)[] => {
    const { groups } = planSample({ kind, name: "r", spec: { rules: [{ backendRefs }] } });
    return ["shop/a:80", "shop/b:80"].map((name) => groups.get(name)?.http2);
  };
  assert.deepEqual(http2("HTTPRoute"), [false, true]);
  assert.deepEqual(http2("GRPCRoute"), [true, true]);
});

const BAD_REGEX = { matches: [{ path: { type: "RegularExpression", value: "(" } }] };
const EXTENSION = { filters: [{ type: "ExtensionRef" }], matches: [{ path: { value: "/x" } }] };

test("F12: expressions beyond the limit of a route are refused, not compiled", () => {
  const path = { type: "RegularExpression", value: "/[a-z]{1,100}" };
  const rule = { matches: Array.from({ length: 64 }, () => ({ path })), ...TO_A };
  const spec = { rules: Array.from({ length: 16 }, () => rule) };
  const plan = planSample({ kind: "HTTPRoute", name: "r", spec });
  assert.equal(tableOf(plan).rules.length, MAX_EXPRESSIONS);
  assert.deepEqual(conditionsOf(plan, "r"), ["Accepted=False/UnsupportedValue", RESOLVED]);
});

test("a rule with a bad expression is dropped, alone, and the route says which", () => {
  const spec = { rules: [TO_A, { ...BAD_REGEX, ...TO_A }] };
  const plan = planSample({ kind: "HTTPRoute", name: "r", spec }, http("other", TO_A));
  const partially = "PartiallyInvalid=True/UnsupportedValue";
  assert.deepEqual(conditionsOf(plan, "r"), [ACCEPTED, RESOLVED, partially]);
  const condition = plan.statuses[0]?.parents[0]?.conditions[2];
  assert.match(
    condition?.message ?? "",
    /^Dropped Rule 1 \(spec\.rules\[1\]\.matches\[0\]: want an/,
  );
  assert.deepEqual(conditionsOf(plan, "other"), [ACCEPTED, RESOLVED]);
  assert.equal(tableOf(plan).rules.length, 2);
  assert.match(plan.problems[0]?.message ?? "", /^UnsupportedValue: Dropped Rule/);
});

test("what a rule with an unknown filter matches is answered 500, and never passes", () => {
  const spec = { rules: [{ ...EXTENSION, ...TO_A }, TO_A] };
  const plan = planSample({ kind: "HTTPRoute", name: "r", spec });
  const [first, second] = tableOf(plan).rules;
  assert.deepEqual([first?.match.path?.value, first?.backends, first?.filters], ["/x", [], []]);
  assert.equal(second?.backends.length, 1);
});

test("a route of which nothing can be honoured is not accepted, and its Service does not pass", () => {
  const plan = planSample(http("r", { ...BAD_REGEX, ...TO_A }));
  assert.deepEqual(conditionsOf(plan, "r"), ["Accepted=False/UnsupportedValue", RESOLVED]);
  const rules = tableOf(plan).rules.map(({ match, backends }) => [match.path?.value, backends]);
  assert.deepEqual(rules, [["/", []]]);
  const both = [{ type: "URLRewrite" }, { type: "RequestRedirect" }];
  const incompatible = planSample(http("r", { filters: both }));
  assert.equal(conditionsOf(incompatible, "r")[0], "Accepted=False/IncompatibleFilters");
});

test("a route that cannot be honoured takes no port from one of another kind", () => {
  const grpc: SampleRoute = { kind: "GRPCRoute", name: "g", spec: { rules: [{ filters: [{}] }] } };
  const plan = planSample(grpc, http("h", TO_A));
  assert.deepEqual(conditionsOf(plan, "h"), [ACCEPTED, RESOLVED]);
  assert.equal(conditionsOf(plan, "g")[0], "Accepted=False/Conflicted");
});

test("of two TCPRoutes both are accepted, and the older has the traffic", () => {
  const tcp = (name: string, age: number): SampleRoute => {
    const backendRefs = [
      { name, port: 80, weight: 2 },
      { name: "none", port: 80 },
    ];
    return { kind: "TCPRoute", name: `tcp-${name}`, age, spec: { rules: [{ backendRefs }] } };
  };
  const plan = planSample(tcp("a", 2), tcp("b", 1));
  const kind = plan.ports.get("shop/web:80");
  assert.ok(kind?.kind === "tcp");
  assert.deepEqual(kind.backends, [{ group: "shop/b:80", weight: 2 }, { weight: 1 }]);
  assert.equal(conditionsOf(plan, "tcp-a")[0], ACCEPTED);
});

for (const rules of [[], [{}], [{ backendRefs: [{ name: "a", port: 80, weight: 0 }] }]]) {
  test(`a TCPRoute with rules ${JSON.stringify(rules)} refuses every connection`, () => {
    const kind = planSample({ kind: "TCPRoute", name: "r", spec: { rules } }).ports.get(
      "shop/web:80",
    );
    assert.ok(kind?.kind === "tcp");
    assert.deepEqual(kind.backends, [{ weight: 1 }]);
  });
}

test("TLSRoutes are ordered by how specific their names are, and the older has a name of both", () => {
  const tls = (name: string, age: number, hostnames: readonly string[]): SampleRoute => ({
    kind: "TLSRoute",
    name: `tls-${name}`,
    age,
    spec: { hostnames, rules: [{ backendRefs: [{ name, port: 80 }] }] },
  });
  const plan = planSample(
    tls("a", 2, ["*.example", "x.a.example"]),
    tls("b", 1, ["*.a.example", "x.a.example"]),
  );
  const kind = plan.ports.get("shop/web:80");
  assert.ok(kind?.kind === "tls");
  assert.deepEqual(
    kind.routes.map(({ hostname, backends }) => `${hostname} ${backends[0]?.group}`),
    ["x.a.example shop/b:80", "*.a.example shop/b:80", "*.example shop/a:80"],
  );
});

test("a planner gives the same answer again, and a new one when an object is new", () => {
  const plan = makeRoutePlanner();
  const source = sampleSource([http("r", TO_A)]);
  assert.deepEqual(plan(source), plan(source));
  const later = sampleSource([http("r", { backendRefs: [{ name: "b", port: 80 }] })]);
  assert.deepEqual([...plan(later).groups.keys()], ["shop/b:80"]);
});
