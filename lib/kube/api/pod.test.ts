import assert from "node:assert/strict";
import { test } from "node:test";
import { makeIntern, makeLabelsIntern } from "./intern.ts";
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

test("pods with the same labels share one record", () => {
  const interns = { text: makeIntern(), labels: makeLabelsIntern() };
  const [a, b, c] = ["web", "web", "db"].map((app) => {
    const parsed = parsePod({ metadata: { ...metadata, labels: { app } } }, interns);
    return parsed.kind === "ok" ? parsed.object.labels : assert.fail();
  });
  assert.deepEqual(a, { app: "web" });
  assert.equal(a, b);
  assert.deepEqual(c, { app: "db" });
});
