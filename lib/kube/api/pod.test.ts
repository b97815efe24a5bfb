import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePod } from "./pod.ts";

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
