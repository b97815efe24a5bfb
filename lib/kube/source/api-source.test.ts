// The source contract against the fake API server, with and without WatchList.

import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../clock/system-clock.ts";
import { makeKubeClient } from "../client.ts";
import { type FakeApiOptions, FakeApiServer } from "../fake-api-server.ts";
import { type Kind, type KubeStore, makeStore } from "../store.ts";
import { type ApiSourceOptions, POLICY_KINDS, runApiSource } from "./api-source.ts";
import { CONTRACT_NODE, type SourceHarness, testSource, until } from "./source-contract.ts";

async function makeHarness(options: FakeApiOptions): Promise<SourceHarness> {
  const server = await FakeApiServer.start(options);
  const client = makeKubeClient(
    { server: server.url, token: { kind: "none" }, insecureSkipTlsVerify: false },
    systemClock,
  );
  return {
    put(manifest) {
      server.put(manifest);
      return Promise.resolve();
    },
    remove(ref) {
      server.remove(ref);
      return Promise.resolve();
    },
    run(store, signal) {
      const clock = systemClock;
      const random = (): number => 0;
      const onEvent = (): void => {};
      return runApiSource({
        client,
        nodeName: CONTRACT_NODE,
        store,
        clock,
        random,
        signal,
        onEvent,
      });
    },
    async close() {
      client.close();
      await server.close();
    },
  };
}

testSource("API source, list by WatchList", () => makeHarness({}));
testSource("API source, list by pages", () => makeHarness({ watchList: false }));

test("other nodes and their pods are watched only on demand, and policies of all kinds", async () => {
  const server = await FakeApiServer.start({});
  const client = makeKubeClient(
    { server: server.url, token: { kind: "none" }, insecureSkipTlsVerify: false },
    systemClock,
  );
  for (const nodeName of [CONTRACT_NODE, "another-node"]) {
    server.put({ kind: "Pod", metadata: { name: `on-${nodeName}` }, spec: { nodeName } });
    server.put({ kind: "Node", metadata: { name: nodeName } });
  }
  const policies = POLICY_KINDS.filter((kind) => kind.endsWith("Policy"));
  for (const kind of policies) server.put({ kind, metadata: { name: "default" }, spec: {} });
  const read = async (more: Partial<ApiSourceOptions>): Promise<KubeStore> => {
    const stop = new AbortController();
    const kinds: readonly Kind[] = ["Pod", "Node", ...policies];
    const store = makeStore(kinds);
    const running = runApiSource({
      client,
      nodeName: CONTRACT_NODE,
      store,
      clock: systemClock,
      random: () => 0,
      signal: stop.signal,
      onEvent: () => {},
      kinds,
      ...more,
    });
    await until(store, () => store.synced);
    stop.abort();
    await running;
    return store;
  };
  try {
    const store = await read({});
    assert.deepEqual([...store.pods.keys()], ["default/on-contract-node"]);
    assert.deepEqual([...store.nodes.keys()], [CONTRACT_NODE]);
    assert.deepEqual([...store.networkPolicies.keys()], ["default/default"]);
    assert.deepEqual([...store.clusterNetworkPolicies.keys()], ["default"]);
    assert.deepEqual([...store.serviceAccountPolicies.keys()], ["default/default"]);
    assert.deepEqual([...store.meshPolicies.keys()], ["default"]);
    const all = await read({ pods: "all", nodes: "all" });
    assert.deepEqual(all.pods.size, 2);
    assert.deepEqual([...all.nodes.keys()].sort(), ["another-node", CONTRACT_NODE]);
  } finally {
    client.close();
    await server.close();
  }
});
