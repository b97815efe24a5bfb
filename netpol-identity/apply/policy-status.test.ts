// Policies of a fake API server, watched and told as the controller does it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as realSleep } from "node:timers/promises";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { asList, asRecord, asText, type JsonRecord } from "../../lib/kube/api/fields.ts";
import { makeKubeClient } from "../../lib/kube/client.ts";
import { FakeApiServer } from "../../lib/kube/fake-api-server.ts";
import { runApiSource } from "../../lib/kube/source/api-source.ts";
import { StatusBook } from "../../lib/kube/status-book.ts";
import { type Kind, makeStore } from "../../lib/kube/store.ts";
import { formatEnforcement } from "../model/enforcement-report.ts";
import { runPolicyStatus } from "./policy-status.ts";

const KINDS: readonly Kind[] = [
  "Namespace",
  "Pod",
  "Node",
  "ServiceAccountPolicy",
  "MeshPolicy",
  "ClusterNetworkPolicy",
];
const ACCOUNT = "/apis/innermesh.io/v1alpha1/serviceaccountpolicies";
const MESH = "/apis/innermesh.io/v1alpha1/meshpolicies";
const CLUSTER = "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies";

const node = (name: string, address: string): JsonRecord => ({
  kind: "Node",
  metadata: { name },
  status: { addresses: [{ type: "InternalIP", address }] },
});
const agent = (nodeName: string): JsonRecord => ({
  kind: "Pod",
  metadata: {
    namespace: "kube-system",
    name: `innermesh-${nodeName}`,
    labels: { "innermesh.io/tunnel": "none" },
  },
  spec: { nodeName, hostNetwork: true },
});
const pod = (namespace: string, name: string, more: JsonRecord = {}): JsonRecord => ({
  kind: "Pod",
  metadata: { namespace, name, labels: { app: "web" } },
  spec: { nodeName: "node-a", ...more },
});
const account = (name: string, generation: number, spec: JsonRecord): JsonRecord => ({
  kind: "ServiceAccountPolicy",
  metadata: { namespace: "shop", name, generation },
  spec: { podSelector: { matchLabels: { app: "web" } }, ...spec },
});

/** Agents of two nodes that know what `held` says. */
async function withController(
  body: (rig: {
    readonly server: FakeApiServer;
    readonly held: Map<string, number>;
    readonly status: (path: string, key: string) => JsonRecord;
    readonly eventually: (check: () => void) => Promise<void>;
  }) => Promise<void>,
): Promise<void> {
  const server = await FakeApiServer.start({});
  const { state } = server;
  state.put(node("node-a", "10.1.0.1"));
  state.put(node("node-b", "10.1.0.2"));
  for (const name of ["node-a", "node-b"]) state.put(agent(name));
  for (const name of ["web-1", "web-2"]) state.put(pod("shop", name));
  state.put(pod("shop", "host", { hostNetwork: true }));
  state.put(pod("other", "web-3"));
  const clock = makeFakeClock();
  const config = {
    server: server.url,
    token: { kind: "none" },
    insecureSkipTlsVerify: false,
  } as const;
  const client = makeKubeClient(config, clock);
  const stop = new AbortController();
  const { signal } = stop;
  const [store, book] = [makeStore(KINDS), new StatusBook()];
  const common = { client, store, clock, random: () => 0.5, onEvent: () => {} };
  const held = new Map<string, number>();
  const reading = runApiSource({
    ...common,
    nodeName: "",
    signal,
    kinds: KINDS,
    pods: "all",
    nodes: "all",
    adapt: (resource) => book.noting(resource),
  });
  const ask = async (address: string, path: string): Promise<string> => {
    assert.ok(["10.1.0.1", "10.1.0.2"].includes(address), address);
    const report = formatEnforcement({ policies: held, problems: [] });
    return path === "/policyz" ? report : String(report.length + held.size);
  };
  const writing = runPolicyStatus({ signal, holds: () => true }, { ...common, book, ask });
  try {
    await body({
      server,
      held,
      status: (path, key) => asRecord(state.objects(path).get(key)?.value["status"]),
      async eventually(check) {
        for (let step = 0; ; step++) {
          try {
            return check();
          } catch (error) {
            if (step === 2_000) throw error;
            await clock.advance(100);
            await realSleep(1);
          }
        }
      },
    });
  } finally {
    stop.abort();
    await Promise.all([reading, writing]);
    client.close();
    await server.close();
  }
}

function conditions(status: JsonRecord): readonly string[] {
  return asList(status["conditions"]).map((value) => {
    const { type, status: is, reason } = asRecord(value);
    return [type, is, reason].join(" ");
  });
}

test("a policy is told whom it selects, that it was understood, and where it holds", async () => {
  await withController(async ({ server, held, status, eventually }) => {
    server.state.put(account("web", 3, { ingress: [] }));
    await eventually(() => {
      const is = status(ACCOUNT, "shop/web");
      assert.deepEqual(conditions(is), ["Accepted True Accepted", "Enforced False OnNoNode"]);
      assert.deepEqual(is["nodes"], { enforced: 0, total: 2 });
      assert.deepEqual([is["selectedPods"], is["observedGeneration"]], [2, 3]);
    });
    const { uid } = asRecord(server.state.objects(ACCOUNT).get("shop/web")?.value["metadata"]);
    held.set(asText(uid), 3);
    await eventually(() => {
      const is = status(ACCOUNT, "shop/web");
      assert.deepEqual(conditions(is), ["Accepted True Accepted", "Enforced True OnAllNodes"]);
      assert.deepEqual(is["nodes"], { enforced: 2, total: 2 });
    });
    server.state.put(pod("shop", "web-4"));
    await eventually(() => assert.equal(status(ACCOUNT, "shop/web")["selectedPods"], 3));
  });
});

test("what cannot be read is told with its field, in every kind", async () => {
  await withController(async ({ server, status, eventually }) => {
    const cidr = { ipBlock: { cidr: "10.0.0.0" } };
    server.state.put(account("bad", 1, { ingress: [{ from: [cidr] }] }));
    server.state.put({
      kind: "MeshPolicy",
      metadata: { name: "default", generation: 1 },
      spec: { default: "Perhaps" },
    });
    server.state.put({
      kind: "ClusterNetworkPolicy",
      metadata: { name: "all", generation: 1 },
      spec: { tier: "Nowhere", priority: 1, subject: { namespaces: {} } },
    });
    await eventually(() => {
      const [first] = asList(status(ACCOUNT, "shop/bad")["conditions"]).map(asRecord);
      assert.equal(first?.["reason"], "Invalid");
      assert.match(String(first?.["message"]), /spec\.ingress\[0\]\.from\[0\]\.ipBlock\.cidr: /);
      assert.match(conditions(status(MESH, "default")).join(), /^Accepted False Invalid/);
      const shared = conditions(status(CLUSTER, "all"));
      assert.match(shared.join(), /^innermesh\.io\/Accepted False Invalid,innermesh\.io\/Enforced/);
    });
  });
});
