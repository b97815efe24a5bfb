import assert from "node:assert/strict";
import { test } from "node:test";
import { policyOf, PolicyTelemetry } from "./policy-telemetry.ts";

test("the policy is read from a rule's name, and from what denied for want of one", () => {
  assert.equal(policyOf("NetworkPolicy shop/web ingress[0]"), "NetworkPolicy shop/web");
  assert.equal(
    policyOf("no rule of NetworkPolicy shop/web, NetworkPolicy shop/all matches"),
    "NetworkPolicy shop/web",
  );
  assert.equal(policyOf("ClusterNetworkPolicy base egress[1] dns"), "ClusterNetworkPolicy base");
  assert.equal(policyOf("the mesh's default is deny"), "(none)");
  assert.equal(policyOf("no policy selects it"), "(none)");
});

test("counts are of the time since the last message", () => {
  const telemetry = new PolicyTelemetry();
  for (let i = 0; i < 3; i++) telemetry.count("ingress", "deny", `NetworkPolicy a/b ingress[${i}]`);
  telemetry.count("egress", "allow", "no policy selects it");
  assert.deepEqual(telemetry.take().verdicts, [
    ["ingress", "deny", "NetworkPolicy a/b", 3],
    ["egress", "allow", "(none)", 1],
  ]);
  assert.deepEqual(telemetry.take().verdicts, []);
  telemetry.count("ingress", "deny", "NetworkPolicy a/b ingress[0]");
  assert.deepEqual(telemetry.take().verdicts, [["ingress", "deny", "NetworkPolicy a/b", 1]]);
});

test("beyond 200 policies there is one name for all others, however many rules there are", () => {
  const telemetry = new PolicyTelemetry();
  for (let i = 0; i < 10_000; i++) {
    telemetry.count("ingress", "allow", `NetworkPolicy a/p${i % 500} ingress[${i}]`);
  }
  const { verdicts } = telemetry.take();
  assert.equal(verdicts.length, 201);
  const others = verdicts.find(([, , policy]) => policy === "(other)");
  assert.equal(others?.[3], 6_000);
});

test("a namespace with hundreds of policies takes no names from others", () => {
  const telemetry = new PolicyTelemetry();
  const count = (policy: string) => telemetry.count("ingress", "allow", `${policy} ingress[0]`);
  for (let i = 0; i < 1_000; i++) count(`NetworkPolicy a/p${i}`);
  for (let i = 0; i < 10; i++) count(`NetworkPolicy b/p${i}`);
  count("ClusterNetworkPolicy base");
  const names = telemetry.take().verdicts.map(([, , policy]) => policy);
  assert.equal(names.filter((name) => name.startsWith("NetworkPolicy a/")).length, 200);
  assert.equal(names.filter((name) => name.startsWith("NetworkPolicy b/")).length, 4);
  assert.ok(names.includes("ClusterNetworkPolicy base"));
  for (let i = 0; i < 1_000; i++) count(`NetworkPolicy n${i}/p`);
  for (let i = 0; i < 1_000; i++) count(`NetworkPolicy n${i}/p`);
  assert.ok(telemetry.take().verdicts.length <= 401);
});
