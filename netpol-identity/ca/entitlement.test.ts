import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../lib/kube/api/pod.ts";
import { judgeEntitlement } from "./entitlement.ts";
import { sampleCaller, samplePod } from "./sample-callers.ts";

const web = samplePod({ namespace: "shop", name: "web-1", serviceAccount: "web" });

interface Case {
  readonly rule: string;
  readonly wanted?: string;
  readonly pods: readonly Pod[];
  readonly hostNetworkPods?: "included";
  /** The identity's account, or the reason of the refusal. */
  readonly verdict: string;
}

const CASES: readonly Case[] = [
  { rule: "a pod of the ServiceAccount on the node entitles", pods: [web], verdict: "shop/web" },
  { rule: "without any pod there is no right", pods: [], verdict: "no-pod" },
  {
    rule: "a pod of it on another node does not count",
    pods: [{ ...web, nodeName: "node-b" }],
    verdict: "no-pod",
  },
  {
    rule: "a pod that is not scheduled does not count",
    pods: [{ ...web, nodeName: "" }],
    verdict: "no-pod",
  },
  {
    rule: "a pod that has ended does not count",
    pods: [{ ...web, isOver: true }],
    verdict: "no-pod",
  },
  {
    rule: "one living pod among ended ones is enough",
    pods: [{ ...web, isOver: true }, web],
    verdict: "shop/web",
  },
  {
    rule: "the same name in another namespace does not count",
    pods: [{ ...web, namespace: "bank" }],
    verdict: "no-pod",
  },
  {
    rule: "a name that only looks alike does not count",
    pods: [{ ...web, serviceAccount: "w.b" }],
    wanted: "spiffe://cluster.local/ns/shop/sa/wxb",
    verdict: "no-pod",
  },
  {
    rule: "a pod of the host's network does not count",
    pods: [{ ...web, hostNetwork: true }],
    verdict: "no-pod",
  },
  {
    rule: "a pod of the host's network counts when asked for",
    pods: [{ ...web, hostNetwork: true }],
    hostNetworkPods: "included",
    verdict: "shop/web",
  },
  {
    rule: "another trust domain is never signed for",
    pods: [web],
    wanted: "spiffe://other.example/ns/shop/sa/web",
    verdict: "other-domain",
  },
  {
    rule: "what is no identity is a bad request",
    pods: [web],
    wanted: "spiffe://cluster.local/ns/shop/sa/web/extra",
    verdict: "bad-request",
  },
  {
    rule: "who names nobody means itself",
    pods: [],
    wanted: "",
    verdict: "kube-system/innermesh-node",
  },
  {
    rule: "the caller's own identity needs no other pod",
    pods: [],
    wanted: "spiffe://cluster.local/ns/kube-system/sa/innermesh-node",
    verdict: "kube-system/innermesh-node",
  },
];

for (const { rule, wanted, pods, hostNetworkPods = "excluded", verdict } of CASES) {
  test(rule, () => {
    const id = wanted ?? "spiffe://cluster.local/ns/shop/sa/web";
    const rules = { trustDomain: "cluster.local", hostNetworkPods } as const;
    const result = judgeEntitlement(id, sampleCaller, rules, pods);
    const seen =
      result.kind === "refused"
        ? result.reason
        : `${result.identity.namespace}/${result.identity.serviceAccount}`;
    assert.equal(seen, verdict);
  });
}
