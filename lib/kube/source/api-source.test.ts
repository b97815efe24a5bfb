// The source contract against the fake API server, with and without WatchList.

import { systemClock } from "../../clock/system-clock.ts";
import { makeKubeClient } from "../client.ts";
import { type FakeApiOptions, FakeApiServer } from "../fake-api-server.ts";
import { runApiSource } from "./api-source.ts";
import { CONTRACT_NODE, type SourceHarness, testSource } from "./source-contract.ts";

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
