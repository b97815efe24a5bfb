import assert from "node:assert/strict";
import { test } from "node:test";
import type { EnrolmentMode } from "../model/enrolment.ts";
import { type EnrolmentLabels, enrolmentOf, readEnrolmentLabels } from "./enrolment.ts";
import { SampleCluster, samplePod } from "./sample-cluster.ts";

const ADDRESS = "10.0.0.1";
const POD = samplePod({ name: "web-1", addresses: [ADDRESS] });
const MODES = ["off", "permissive", "strict"] as const;
const LABELS = [undefined, ...MODES];

function labelsOf(cluster: SampleCluster, meshDefault: EnrolmentMode = "off"): EnrolmentLabels {
  return readEnrolmentLabels(cluster.store, meshDefault);
}

test("the nearest label wins: Service, ServiceAccount, Namespace, then the mesh's default", () => {
  for (const service of LABELS) {
    for (const account of LABELS) {
      for (const namespace of LABELS) {
        for (const meshDefault of MODES) {
          const cluster = new SampleCluster()
            .putService("shop/web", service, [ADDRESS])
            .labelServiceAccount("shop/web", account)
            .labelNamespace("shop", namespace);
          const { mode, rule } = enrolmentOf(POD, labelsOf(cluster, meshDefault));
          const [expected, of] = [
            [service, "of Service shop/web"],
            [account, "of ServiceAccount shop/web"],
            [namespace, "of Namespace shop"],
            [meshDefault, "the mesh's default"],
          ].find(([label]) => label !== undefined) ?? [meshDefault, ""];
          const words = [service, account, namespace, meshDefault].join();
          assert.equal(mode, expected, words);
          assert.ok(rule.includes(of ?? ""), `${words}: ${rule}`);
        }
      }
    }
  }
});

test("of several Services the strictest speaks, whichever came first", () => {
  for (const order of [
    ["off", "strict", "permissive"],
    ["strict", "off", "permissive"],
  ]) {
    const cluster = new SampleCluster();
    for (const [i, mode] of order.entries()) cluster.putService(`shop/s-${i}`, mode, [ADDRESS]);
    const { mode, rule } = enrolmentOf(POD, labelsOf(cluster));
    assert.equal(mode, "strict");
    assert.equal(
      rule,
      `label innermesh.io/identity=strict of Service shop/s-${order.indexOf(mode)}`,
    );
  }
});

test("a Service speaks for every address of a pod if it lists one of them", () => {
  const cluster = new SampleCluster().putService("shop/web", "strict", [ADDRESS]);
  const dual = samplePod({ name: "web-1", addresses: ["fd00::1", ADDRESS] });
  assert.equal(enrolmentOf(dual, labelsOf(cluster)).mode, "strict");
});

test("a Service never speaks for a pod of another namespace, whatever its slices list", () => {
  const cluster = new SampleCluster()
    .putService("evil/web", "off", [ADDRESS])
    .labelNamespace("shop", "strict");
  assert.equal(enrolmentOf(POD, labelsOf(cluster)).mode, "strict");
});

test("a label that means nothing is told, and asks for the most there is", () => {
  for (const word of ["Strict", "on", "", "strict ", "__proto__"]) {
    const cluster = new SampleCluster().labelNamespace("shop", word);
    const labels = labelsOf(cluster);
    const { mode, rule } = enrolmentOf(POD, labels);
    assert.equal(mode, "strict");
    assert.match(rule, /Namespace shop is ".*", which is taken for strict$/);
    const [problem, ...others] = labels.problems;
    assert.deepEqual([problem?.object, others], ["Namespace shop", []]);
    assert.match(problem?.message ?? "", /^want off, permissive or strict: got /);
  }
});

test("a nearer label that can be read wins over a farther one that cannot", () => {
  const cluster = new SampleCluster()
    .labelNamespace("shop", "oops")
    .labelServiceAccount("shop/web", "off");
  const labels = labelsOf(cluster);
  assert.equal(enrolmentOf(POD, labels).mode, "off");
  assert.equal(labels.problems.length, 1);
});

test("names are compared whole: a label of a.b says nothing of axb (threat T8)", () => {
  const cluster = new SampleCluster().labelServiceAccount("shop/a.b", "strict");
  const labels = labelsOf(cluster);
  for (const [serviceAccount, expected] of [
    ["a.b", "strict"],
    ["axb", "off"],
    ["a", "off"],
  ] as const) {
    const pod = samplePod({ name: "p", serviceAccount });
    assert.equal(enrolmentOf(pod, labels).mode, expected);
  }
});

test("a pod of the host's network is never enrolled by itself, nor one that is over", () => {
  const labels = labelsOf(new SampleCluster(), "strict");
  const host = enrolmentOf(samplePod({ name: "p", hostNetwork: true }), labels);
  assert.equal(host.mode, "off");
  assert.match(host.rule, /its node's/);
  const over = enrolmentOf(samplePod({ name: "p", phase: "Succeeded" }), labels);
  assert.deepEqual(over, { mode: "off", rule: "it is over" });
});

test("the authority's pods are never enrolled: certificates come from there", () => {
  const namespace = "innermesh-system";
  const cluster = new SampleCluster().labelNamespace(namespace, "strict");
  const authority = samplePod({ name: "controller", namespace, addresses: [ADDRESS] });
  const { mode, rule } = enrolmentOf(authority, labelsOf(cluster, "strict"));
  assert.equal(mode, "off");
  assert.match(rule, /before they can prove anything/);
});
