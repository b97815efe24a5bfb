import assert from "node:assert/strict";
import { test } from "node:test";
import { sampleSet } from "../evaluate/sample-set.ts";
import { SamplePolicies } from "../evaluate/sample-policies.ts";
import { shutPods, shutPolicies } from "./shut-pods.ts";

test("a pod that is closed for what its policies ask is named with the reason", () => {
  const [fine, lists, asking] = [
    sampleSet(),
    sampleSet({ otherwise: "deny" }),
    sampleSet({ conditions: 5_000 }),
  ];
  const pods = [
    { addresses: ["10.0.0.1"], ingress: fine },
    { addresses: ["10.0.0.2", "fd00::2"], egress: lists },
    { addresses: ["10.0.0.3"], ingress: asking },
    { addresses: ["10.0.0.4"] },
  ];
  assert.deepEqual(shutPods(pods, new Set([lists])), [
    "Cannot hold the policies of pod 10.0.0.2,fd00::2: too many lists, so it is closed",
    "Cannot judge requests to pod 10.0.0.3: 5000 conditions, of at most 4096, so ports that rules" +
      " about requests are about are closed",
  ]);
});

test("of policies that select such a pod, those with rules about requests are told why", () => {
  const objects = new SamplePolicies();
  const http = Array.from({ length: 64 }, (_, i) => ({ path: { type: "Exact", value: `/${i}` } }));
  const ingress = (rules: number) => Array.from({ length: rules }, () => ({ http }));
  const app = (name: string) => ({ podSelector: { matchLabels: { app: name } } });
  objects.namespace("shop");
  objects.accountPolicy("shop/half", { podSelector: {}, ingress: ingress(33) });
  objects.accountPolicy("shop/more", { ...app("web"), ingress: ingress(32) });
  objects.accountPolicy("shop/plain", { podSelector: {}, ingress: [{}] });
  objects.networkPolicy("shop/half", { podSelector: {} });
  const [web, api] = ["web", "api"].map((name) =>
    objects.pod(`shop/${name}`, { labels: { app: name } }),
  );
  objects.update();
  const { index, store } = objects;
  const of = (...pods: readonly (typeof web)[]) =>
    shutPolicies({
      pods: pods.filter((pod) => pod !== undefined),
      index,
      policies: store.serviceAccountPolicies,
    });
  assert.deepEqual(of(api), new Map());
  const shut = of(web, api);
  assert.deepEqual([...shut.keys()].sort(), ["uid-shop/half", "uid-shop/more"]);
  assert.equal(
    shut.get("uid-shop/half"),
    "a pod has 4160 conditions on requests, of at most 4096: the ports that they are about are closed",
  );
});
