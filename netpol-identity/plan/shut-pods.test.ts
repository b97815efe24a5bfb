import assert from "node:assert/strict";
import { test } from "node:test";
import { sampleSet } from "../evaluate/sample-set.ts";
import { shutPods } from "./shut-pods.ts";

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
