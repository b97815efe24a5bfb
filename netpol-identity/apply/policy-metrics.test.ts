// What a node tells of policies: series, and problems of those that are about its pods.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Registry } from "@prometheus-io/client";
import { parseNetworkPolicy } from "../../lib/kube/api/network-policy.ts";
import type { Parsed, Problem } from "../../lib/kube/api/parsed.ts";
import { parsePod } from "../../lib/kube/api/pod.ts";
import { type KubeObject, type KubeStore, makeStore } from "../../lib/kube/store.ts";
import type { TunnelPlan } from "../plan/tunnel-plan.ts";
import { NodePolicies } from "./node-policies.ts";
import { exposePolicies } from "./policy-metrics.ts";
import { PolicyStats } from "./policy-stats.ts";

const NOBODY: TunnelPlan = {
  workloads: new Map(),
  peers: new Map(),
  host: undefined,
  identities: new Set(),
  policy: { pods: [], peers: [] },
  problems: [],
};

function put(store: KubeStore, parsed: Parsed<KubeObject>): void {
  assert(parsed.kind === "ok");
  store.put(parsed.object);
  store.report(`${parsed.object.kind} shop/${parsed.object.name}`, parsed.problems);
}

function pod(name: string, nodeName: string, podIP: string): unknown {
  const metadata = { namespace: "shop", name, uid: name, labels: { app: name } };
  return { kind: "Pod", metadata, spec: { nodeName }, status: { podIP, podIPs: [{ ip: podIP }] } };
}

function policy(name: string, app: string, ingress: unknown): unknown {
  const metadata = { namespace: "shop", name, uid: name, generation: 1, resourceVersion: name };
  return {
    kind: "NetworkPolicy",
    metadata,
    spec: { podSelector: { matchLabels: { app } }, ingress },
  };
}

const FROM_B = [{ from: [{ podSelector: { matchLabels: { app: "b" } } }] }];
const BROKEN = [{ from: [{ ipBlock: { cidr: "10.0.0.0/99" } }] }];

function makeRig() {
  const store = makeStore([]);
  put(store, parsePod(pod("a", "node-a", "10.0.0.1")));
  put(store, parsePod(pod("b", "node-b", "10.0.0.2")));
  const told: Problem[] = [];
  const onProblem = (problem: Problem): void => void told.push(problem);
  const policies = new NodePolicies({ nodeName: "node-a", trustDomain: "t", store, onProblem });
  return { store, policies, told };
}

test("series tell what is known, whom it is about, and what was denied", async () => {
  const { store, policies } = makeRig();
  put(store, parseNetworkPolicy(policy("web", "a", FROM_B)));
  policies.update(NOBODY);
  const page = new Registry();
  const stats = new PolicyStats();
  stats.add({ verdicts: [["ingress", "deny", "NetworkPolicy shop/web", 3]] });
  let answers = 0;
  const denials = async () => {
    if (answers++ > 0) throw new Error("no kernel");
    return { in: 2, lane: 1 };
  };
  const network = () => policies.network;
  const observe = exposePolicies(page, { store, network, stats, denials });
  observe(20);
  for (const _ of [1, 2]) {
    const text = await page.metrics();
    const of = (series: string): string | undefined =>
      text
        .split("\n")
        .find((line) => line.startsWith(`innermesh_policy_${series} `))
        ?.split(" ")
        .at(-1);
    assert.equal(of('denied_packets_total{reason="in"}'), "2");
    assert.equal(of('denied_packets_total{reason="lane"}'), "1");
    assert.equal(of('objects{kind="NetworkPolicy"}'), "1");
    assert.equal(of('pods{direction="ingress"}'), "1");
    assert.equal(of('pods{direction="egress"}'), "0");
    assert.equal(of('sets{direction="ingress"}'), "1");
    assert.equal(of("groups"), "1");
    assert.equal(of("group_members"), "1");
    assert.equal(of("problems"), "0");
    assert.equal(of("denials_told"), "0");
    assert.equal(of("apply_duration_seconds_count"), "1");
    assert.match(text, /verdicts_total\{.*policy="NetworkPolicy shop\/web"\} 3/);
  }
});

test("what is wrong with a policy is told once, by the nodes whose pods it is about", () => {
  const { store, policies, told } = makeRig();
  put(store, parseNetworkPolicy(policy("theirs", "b", BROKEN)));
  put(store, parseNetworkPolicy(policy("ours", "a", BROKEN)));
  policies.update(NOBODY);
  assert.deepEqual([...new Set(told.map(({ object }) => object))], ["NetworkPolicy shop/ours"]);
  const count = told.length;
  put(store, parsePod(pod("c", "node-a", "10.0.0.3")));
  policies.update(NOBODY);
  assert.equal(told.length, count);
});
