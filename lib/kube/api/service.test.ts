// What a Service means to a proxy, field by field, and what a bad field costs.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonRecord } from "./fields.ts";
import type { Parsed } from "./parsed.ts";
import { parseService, type Service } from "./service.ts";

const PORTS = [{ name: "http", protocol: "TCP", port: 80 }];

function parse(spec: JsonRecord, rest: JsonRecord = {}): Parsed<Service> {
  const fields = { clusterIP: "10.96.0.10", ports: PORTS, ...spec };
  return parseService({ metadata: { namespace: "shop", name: "web" }, spec: fields, ...rest });
}

function read(spec: JsonRecord, rest: JsonRecord = {}): Service {
  const parsed = parse(spec, rest);
  assert.ok(parsed.kind === "ok", parsed.kind);
  return parsed.object;
}

function fieldsWithProblems(parsed: Parsed<Service>): readonly string[] {
  return parsed.kind === "ignored" ? [] : parsed.problems.map(({ field }) => field);
}

test("the least that makes a Service, with the API's own defaults", () => {
  assert.deepEqual(read({}), {
    kind: "Service",
    namespace: "shop",
    name: "web",
    uid: "",
    resourceVersion: "",
    createdMs: 0,
    labels: {},
    annotations: {},
    type: "ClusterIP",
    clusterIPs: ["10.96.0.10"],
    ports: [{ name: "http", protocol: "TCP", port: 80, nodePort: 0 }],
    externalIPs: [],
    loadBalancerVips: [],
    loadBalancerSourceRanges: [],
    internalTrafficPolicy: "Cluster",
    externalTrafficPolicy: "Cluster",
    healthCheckNodePort: 0,
  });
});

test("identity, age, labels and annotations are kept, the last-applied copy is not", () => {
  const metadata = {
    name: "web",
    uid: "u",
    resourceVersion: "7",
    creationTimestamp: "1970-01-01T00:00:01Z",
    labels: { a: "1", number: 2 },
    annotations: { b: "2", "kubectl.kubernetes.io/last-applied-configuration": "{}" },
  };
  const object = read({}, { metadata });
  assert.deepEqual(
    [object.namespace, object.uid, object.resourceVersion, object.createdMs],
    ["default", "u", "7", 1_000],
  );
  assert.deepEqual([object.labels, object.annotations], [{ a: "1" }, { b: "2" }]);
});

const IGNORED: readonly (readonly [string, JsonRecord, string])[] = [
  ["headless", { clusterIP: "None" }, "headless"],
  ["headless by clusterIPs", { clusterIP: undefined, clusterIPs: ["None"] }, "headless"],
  ["ExternalName, even with a cluster IP left", { type: "ExternalName" }, "external-name"],
  ["no cluster IP", { clusterIP: "" }, "no-cluster-ip"],
  ["a null cluster IP", { clusterIP: null }, "no-cluster-ip"],
];
for (const [name, spec, why] of IGNORED) {
  test(`a Service is not proxied: ${name}`, () => {
    assert.deepEqual(parse(spec), { kind: "ignored", key: "shop/web", why });
  });
}

test("cluster IPs become canonical, one of each family, primary first", () => {
  const clusterIPs = ["FD00::0:10", "10.96.0.10"];
  assert.deepEqual(read({ clusterIPs }).clusterIPs, ["fd00::10", "10.96.0.10"]);
  const doubled = parse({ clusterIPs: ["10.96.0.10", "10.96.0.11"] });
  assert.deepEqual(fieldsWithProblems(doubled), ["spec.clusterIPs"]);
});

test("one bad cluster IP of two costs one family", () => {
  const parsed = parse({ clusterIPs: ["10.96.0.10", "fe80::1"] });
  assert.ok(parsed.kind === "ok");
  assert.deepEqual(parsed.object.clusterIPs, ["10.96.0.10"]);
  assert.deepEqual(fieldsWithProblems(parsed), ["spec.clusterIPs[1]"]);
});

for (const clusterIP of ["nonsense", "127.0.0.1", "::ffff:10.0.0.1", "010.0.0.1", 7]) {
  test(`a Service with cluster IP ${clusterIP} cannot be read`, () => {
    const parsed = parse({ clusterIP });
    assert.equal(parsed.kind, "invalid");
    assert.ok(parsed.kind === "invalid" && parsed.key === "shop/web");
    assert.deepEqual(fieldsWithProblems(parsed), ["spec.clusterIP[0]"]);
  });
}

test("a bad port is dropped, the others stay", () => {
  const ports = [
    { port: 0 },
    { port: 80.5 },
    { port: "80" },
    { port: 81, protocol: "ICMP" },
    { port: 53, protocol: "UDP", name: "dns" },
    { port: 54, protocol: "UDP", name: "dns" },
    { port: 53, protocol: "TCP", name: "dns-tcp", appProtocol: "kubernetes.io/h2c" },
    { port: 53, protocol: "TCP", name: "again" },
  ];
  const parsed = parse({ ports });
  assert.ok(parsed.kind === "ok");
  assert.deepEqual(parsed.object.ports, [
    { name: "dns", protocol: "UDP", port: 53, nodePort: 0 },
    { name: "dns-tcp", protocol: "TCP", port: 53, nodePort: 0, appProtocol: "kubernetes.io/h2c" },
  ]);
  assert.deepEqual(fieldsWithProblems(parsed), [
    "spec.ports[0].port",
    "spec.ports[1].port",
    "spec.ports[2].port",
    "spec.ports[3].protocol",
    "spec.ports[5]",
    "spec.ports[7]",
  ]);
});

test("a Service without a readable port cannot be read", () => {
  assert.equal(parse({ ports: [] }).kind, "invalid");
  assert.equal(parse({ ports: null }).kind, "invalid");
});

test("node ports belong to NodePort and LoadBalancer Services only", () => {
  const ports = [{ port: 80, nodePort: 30_080 }];
  assert.equal(read({ ports, type: "NodePort" }).ports[0]?.nodePort, 30_080);
  assert.equal(read({ ports, type: "LoadBalancer" }).ports[0]?.nodePort, 30_080);
  const parsed = parse({ ports });
  assert.ok(parsed.kind === "ok" && parsed.object.ports[0]?.nodePort === 0);
  assert.deepEqual(fieldsWithProblems(parsed), ["spec.ports[0].nodePort"]);
});

test("a bad external IP is dropped, the others stay, each once", () => {
  const parsed = parse({ externalIPs: ["192.0.2.1", "localhost", "169.254.1.1", "192.0.2.1"] });
  assert.ok(parsed.kind === "ok");
  assert.deepEqual(parsed.object.externalIPs, ["192.0.2.1"]);
  assert.deepEqual(fieldsWithProblems(parsed), ["spec.externalIPs[1]", "spec.externalIPs[2]"]);
});

test("of the balancer's addresses those with ipMode VIP or none are served", () => {
  const ingress = [
    { ip: "192.0.2.1" },
    { ip: "192.0.2.2", ipMode: "VIP" },
    { ip: "192.0.2.3", ipMode: "Proxy" },
    { hostname: "lb.example" },
  ];
  const object = read({}, { status: { loadBalancer: { ingress } } });
  assert.deepEqual(object.loadBalancerVips, ["192.0.2.1", "192.0.2.2"]);
});

test("source ranges are trimmed and canonical", () => {
  const object = read({ loadBalancerSourceRanges: [" 192.0.2.7/24", "fd00::1/64 "] });
  assert.deepEqual(object.loadBalancerSourceRanges, ["192.0.2.0/24", "fd00::/64"]);
});

test("source ranges that are all unreadable close the balancer's addresses", () => {
  const status = { loadBalancer: { ingress: [{ ip: "192.0.2.1" }] } };
  const parsed = parse({ loadBalancerSourceRanges: ["192.0.2.0/33"] }, { status });
  assert.ok(parsed.kind === "ok");
  assert.deepEqual(parsed.object.loadBalancerVips, []);
  assert.deepEqual(fieldsWithProblems(parsed), ["spec.loadBalancerSourceRanges[0]"]);
});

test("ClientIP affinity lasts three hours unless it says otherwise", () => {
  const seconds = (timeoutSeconds: unknown): number | undefined =>
    read({
      sessionAffinity: "ClientIP",
      sessionAffinityConfig: { clientIP: { timeoutSeconds } },
    }).affinitySeconds;
  assert.equal(seconds(undefined), 10_800);
  assert.equal(seconds(60), 60);
  assert.equal(seconds(0), 10_800);
  assert.equal(seconds(86_401), 10_800);
  assert.equal(read({ sessionAffinity: "None" }).affinitySeconds, undefined);
});

test("traffic policies are read, and an unknown one means Cluster", () => {
  const local = read({ internalTrafficPolicy: "Local", externalTrafficPolicy: "Local" });
  assert.deepEqual([local.internalTrafficPolicy, local.externalTrafficPolicy], ["Local", "Local"]);
  const parsed = parse({ externalTrafficPolicy: "Somewhere" });
  assert.deepEqual(fieldsWithProblems(parsed), ["spec.externalTrafficPolicy"]);
});

for (const name of ["", "a/b", "Web", "-a", "a".repeat(254), undefined, 7]) {
  test(`an object named ${String(name).slice(0, 10)} cannot be read`, () => {
    const parsed = parseService({ metadata: { name } });
    assert.ok(parsed.kind === "invalid" && parsed.key === undefined);
    assert.equal(parsed.problems[0]?.field, "metadata.name");
  });
}
