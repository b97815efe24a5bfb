import assert from "node:assert/strict";
import { test } from "node:test";
import { makeIntern, makeJsonIntern } from "./intern.ts";
import { type Pod, parsePod } from "./pod.ts";

const metadata = { namespace: "shop", name: "web-1", uid: "u", resourceVersion: "1" };

function addresses(spec: object, status: object): readonly string[] {
  const parsed = parsePod({ metadata, spec, status });
  assert.equal(parsed.kind, "ok");
  return parsed.kind === "ok" ? parsed.object.addresses : [];
}

test("a running pod has one address of each family, in canonical form", () => {
  const podIPs = [{ ip: "10.0.0.7" }, { ip: "fd00:0::7" }, { ip: "10.0.0.8" }];
  assert.deepEqual(addresses({}, { podIP: "10.0.0.7", podIPs }), ["10.0.0.7", "fd00::7"]);
  assert.deepEqual(addresses({}, { podIP: "10.0.0.7" }), ["10.0.0.7"]);
  assert.deepEqual(addresses({}, { podIP: "010.0.0.7", podIPs: "nonsense" }), []);
});

test("a pod of the host's network, and one that is over, have none", () => {
  const status = { podIP: "10.0.0.7" };
  assert.deepEqual(addresses({ hostNetwork: true }, status), []);
  assert.deepEqual(addresses({}, { ...status, phase: "Succeeded" }), []);
  assert.deepEqual(addresses({}, { ...status, phase: "Failed" }), []);
});

test("the ServiceAccount is default unless the pod says another", () => {
  for (const [spec, expected] of [
    [{}, "default"],
    [{ serviceAccountName: "web" }, "web"],
  ] as const) {
    const parsed = parsePod({ metadata, spec });
    assert(parsed.kind === "ok");
    assert.equal(parsed.object.serviceAccount, expected);
  }
});

function read(value: object): Pod {
  const parsed = parsePod({ metadata, ...value });
  assert(parsed.kind === "ok");
  return parsed.object;
}

test("a ServiceAccount that no API server would take makes the pod invalid, not default's", () => {
  for (const serviceAccountName of ["../db", "a/b", "web ", "W"]) {
    assert.equal(parsePod({ metadata, spec: { serviceAccountName } }).kind, "invalid");
  }
});

test("a pod of the host's network is told from one that is over", () => {
  const host = read({ spec: { hostNetwork: true }, status: { phase: "Running" } });
  assert.deepEqual([host.hostNetwork, host.isOver], [true, false]);
  const over = read({ status: { phase: "Failed" } });
  assert.deepEqual([over.hostNetwork, over.isOver], [false, true]);
});

test("ambient's annotation counts only with the value that its own agent writes", () => {
  const annotated = (value: unknown): boolean =>
    read({ metadata: { ...metadata, annotations: { "ambient.istio.io/redirection": value } } })
      .ambientRedirection;
  assert.equal(annotated("enabled"), true);
  assert.equal(annotated("disabled"), false);
  assert.equal(annotated(true), false);
});

test("pods with the same labels and ports share one record of each", () => {
  const interns = {
    text: makeIntern(),
    labels: makeJsonIntern<Pod["labels"]>(),
    ports: makeJsonIntern<Pod["ports"]>(),
  };
  const [a, b, c] = ["web", "web", "db"].map((app) => {
    const spec = { containers: [{ ports: [{ name: app, containerPort: 1 }] }] };
    const parsed = parsePod({ metadata: { ...metadata, labels: { app } }, spec }, interns);
    return parsed.kind === "ok" ? parsed.object : assert.fail();
  });
  assert.deepEqual(a?.labels, { app: "web" });
  assert.equal(a?.labels, b?.labels);
  assert.equal(a?.ports, b?.ports);
  assert.deepEqual(c?.labels, { app: "db" });
  assert.deepEqual(c?.ports, [{ name: "db", protocol: "TCP", port: 1 }]);
});

test("named ports of containers and of sidecars are told, and of nothing that ends", () => {
  const port = (name: string, containerPort: unknown, protocol?: unknown): object => ({
    ports: [{ name, containerPort, ...(protocol !== undefined && { protocol }) }],
  });
  const { ports } = read({
    spec: {
      containers: [port("http", 8080), port("dns", 53, "UDP"), { ports: [{ containerPort: 1 }] }],
      initContainers: [
        { ...port("metrics", 9090), restartPolicy: "Always" },
        port("migrate", 7000),
      ],
    },
  });
  assert.deepEqual(ports, [
    { name: "metrics", protocol: "TCP", port: 9090 },
    { name: "http", protocol: "TCP", port: 8080 },
    { name: "dns", protocol: "UDP", port: 53 },
  ]);
});

test("ports that cannot be read are left out, and no pod has more than 256", () => {
  const faulty = [null, { name: "A", containerPort: 1 }, { name: "a", containerPort: 0 }];
  const other = { name: "a", containerPort: 1, protocol: "ICMP" };
  const list = (ports: unknown): object => ({ spec: { containers: [{ ports }] } });
  assert.deepEqual(read(list([...faulty, other])).ports, []);
  assert.deepEqual(read({ spec: { containers: { ports: 1 } } }).ports, []);
  const many = Array(1e5).fill({ name: "a", containerPort: 1 });
  assert.equal(read(list(many)).ports.length, 256);
});
