// The source contract against the fake API server, with and without WatchList.

import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../clock/system-clock.ts";
import { makeKubeClient } from "../client.ts";
import { type FakeApiOptions, FakeApiServer } from "../fake-api-server.ts";
import { makeStore } from "../store.ts";
import { type ApiSourceOptions, runApiSource } from "./api-source.ts";
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

test("pods of other nodes are watched only on demand", async () => {
  const server = await FakeApiServer.start({});
  const client = makeKubeClient(
    { server: server.url, token: { kind: "none" }, insecureSkipTlsVerify: false },
    systemClock,
  );
  for (const nodeName of [CONTRACT_NODE, "another-node"]) {
    server.put({ kind: "Pod", metadata: { name: `on-${nodeName}` }, spec: { nodeName } });
  }
  const podsOf = async (more: Partial<ApiSourceOptions>): Promise<readonly string[]> => {
    const stop = new AbortController();
    const store = makeStore(["Pod"]);
    const running = runApiSource({
      client,
      nodeName: CONTRACT_NODE,
      store,
      clock: systemClock,
      random: () => 0,
      signal: stop.signal,
      onEvent: () => {},
      kinds: ["Pod"],
      ...more,
    });
    await until(store, () => store.synced);
    stop.abort();
    await running;
    return [...store.pods.keys()].sort();
  };
  try {
    assert.deepEqual(await podsOf({}), ["default/on-contract-node"]);
    assert.deepEqual(await podsOf({ pods: "all" }), [
      "default/on-another-node",
      "default/on-contract-node",
    ]);
  } finally {
    client.close();
    await server.close();
  }
});
