// What every source promises, as tests. Run against each source: the folder, the fake API server,
// and the real one. Claims name only objects that the test itself made, for a real cluster has
// others.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { JsonRecord } from "../api/fields.ts";
import { type KubeStore, makeStore } from "../store.ts";
import { ALL_KINDS } from "./api-source.ts";
import { HEADLESS_LABEL, SERVICE_PROXY_NAME_LABEL } from "./selection.ts";

export interface ManifestRef {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

/** One source under test and the world it reads from. */
export interface SourceHarness {
  /** Creates or replaces an object; resolves when the world has it. */
  put(manifest: JsonRecord): Promise<void>;
  remove(ref: ManifestRef): Promise<void>;
  /** Runs the source for node CONTRACT_NODE into `store` until `signal` aborts. */
  run(store: KubeStore, signal: AbortSignal): Promise<void>;
  /** Leaves no object of the test behind. */
  close(): Promise<void>;
}

export const CONTRACT_NODE = "contract-node";
const TIMEOUT_MS = 20_000;

interface Fixture {
  readonly harness: SourceHarness;
  readonly store: KubeStore;
  readonly start: () => Promise<void>;
}

/** Registers the suite with node:test. */
export function testSource(name: string, makeHarness: () => Promise<SourceHarness>): void {
  const claim = (sentence: string, body: (fixture: Fixture) => Promise<void>): void => {
    test(sentence, { timeout: TIMEOUT_MS }, async () => {
      const harness = await makeHarness();
      const stop = new AbortController();
      const store = makeStore(ALL_KINDS);
      let running: Promise<void> | undefined;
      const start = async (): Promise<void> => {
        running = harness.run(store, stop.signal);
        await until(store, () => store.synced);
      };
      try {
        await body({ harness, store, start });
      } finally {
        stop.abort();
        await running;
        await harness.close();
      }
    });
  };
  describe(name, { concurrency: false }, () => {
    testLifecycle(claim);
    testSelection(claim);
    testSlices(claim);
  });
}

/** Resolves when `holds` is true after some change of the store. */
export function until(store: KubeStore, holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    if (holds()) return resolve();
    const stop = store.onChange(() => {
      if (!holds()) return;
      stop();
      resolve();
    });
  });
}

type Claim = (sentence: string, body: (fixture: Fixture) => Promise<void>) => void;

function testLifecycle(claim: Claim): void {
  claim("an empty world counts as synced", async ({ store, start }) => {
    assert.equal(store.synced, false);
    await start();
    assert.equal(store.services.has("default/web"), false);
  });

  claim("what was there before the start is there at sync", async ({ harness, store, start }) => {
    await harness.put(service("web"));
    await harness.put(slice("web-a", "web"));
    await harness.put(node(CONTRACT_NODE));
    await start();
    assert.deepEqual(store.services.get("default/web")?.clusterIPs, ["10.96.77.1"]);
    assert.deepEqual([...store.slicesOf("default/web").keys()], ["web-a"]);
    assert.equal(store.nodes.get(CONTRACT_NODE)?.labels["zone"], "a");
    assert.deepEqual([...store.problems], []);
  });

  claim("a Service that comes, changes and goes", async ({ harness, store, start }) => {
    await start();
    await harness.put(service("web"));
    await until(store, () => store.services.has("default/web"));
    store.takeChanges();
    await harness.put(service("web", { ports: [{ name: "b", port: 81 }] }));
    await until(store, () => store.services.get("default/web")?.ports[0]?.port === 81);
    assert.deepEqual([...store.takeChanges().services], ["default/web"]);
    await harness.remove({ kind: "Service", name: "web" });
    await until(store, () => !store.services.has("default/web"));
    assert.deepEqual([...store.takeChanges().services], ["default/web"]);
  });

  claim("a change marks its own Service only", async ({ harness, store, start }) => {
    await harness.put(service("web"));
    await harness.put(service("db", { clusterIP: "10.96.77.2" }));
    await start();
    await harness.put(slice("web-a", "web"));
    await until(store, () => store.slicesOf("default/web").size === 1);
    store.takeChanges();
    await harness.put(slice("web-a", "web", { addresses: ["10.1.0.9"] }));
    await until(store, () => firstAddress(store, "default/web") === "10.1.0.9");
    const { services, node: nodeChanged, serviceCidrs } = store.takeChanges();
    assert.deepEqual([...services], ["default/web"]);
    assert.deepEqual([nodeChanged, serviceCidrs], [false, false]);
  });

  claim("ServiceCIDRs are kept, and a change is marked", async ({ harness, store, start }) => {
    await start();
    store.takeChanges();
    await harness.put({
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: "contract" },
      spec: { cidrs: ["10.200.0.0/24"] },
    });
    await until(store, () => store.serviceCidrs.has("contract"));
    assert.deepEqual(store.serviceCidrs.get("contract")?.cidrs, ["10.200.0.0/24"]);
    assert.equal(store.takeChanges().serviceCidrs, true);
  });
}

function testSelection(claim: Claim): void {
  claim("headless and ExternalName Services are not kept", async ({ harness, store, start }) => {
    await harness.put(service("headless", { clusterIP: "None" }));
    await harness.put(service("outside", { type: "ExternalName", externalName: "a.example" }));
    await harness.put(service("web"));
    await start();
    assert.equal(store.services.has("default/headless"), false);
    assert.equal(store.services.has("default/outside"), false);
    assert.equal(store.services.has("default/web"), true);
    assert.deepEqual([...store.problems], []);
  });

  claim("a Service that becomes an ExternalName goes", async ({ harness, store, start }) => {
    await harness.put(service("web"));
    await start();
    await harness.put(service("web", { type: "ExternalName", externalName: "a.example" }));
    await until(store, () => !store.services.has("default/web"));
  });

  claim("the proxy-name label takes a Service away and gives it back", async (fixture) => {
    const { harness, store, start } = fixture;
    const labels = { [SERVICE_PROXY_NAME_LABEL]: "another" };
    await harness.put(service("web"));
    await start();
    assert.equal(store.services.has("default/web"), true);
    await harness.put(service("web", {}, labels));
    await until(store, () => !store.services.has("default/web"));
    await harness.put(service("web"));
    await until(store, () => store.services.has("default/web"));
  });

  claim("of all Nodes only the node's own is kept", async ({ harness, store, start }) => {
    await harness.put(node("another-node"));
    await harness.put(node(CONTRACT_NODE));
    await start();
    await until(store, () => store.nodes.has(CONTRACT_NODE));
    assert.equal(store.nodes.has("another-node"), false);
  });
}

function testSlices(claim: Claim): void {
  claim("both families of a Service's slices stand together", async (fixture) => {
    const { harness, store, start } = fixture;
    await harness.put(slice("web-4", "web"));
    await harness.put(slice("web-6", "web", { addresses: ["fd00:1::9"] }, "IPv6"));
    await start();
    const slices = store.slicesOf("default/web");
    assert.equal(slices.get("web-4")?.endpoints[0]?.address, "10.1.0.7");
    assert.equal(slices.get("web-6")?.endpoints[0]?.address, "fd00:1::9");
  });

  claim("conditions that are not set mean ready, serving, staying", async (fixture) => {
    const { harness, store, start } = fixture;
    await harness.put(slice("web-a", "web"));
    await start();
    const endpoint = store.slicesOf("default/web").get("web-a")?.endpoints[0];
    assert.deepEqual(endpoint, {
      address: "10.1.0.7",
      ready: true,
      serving: true,
      terminating: false,
    });
  });

  claim("slices of headless Services are not kept", async ({ harness, store, start }) => {
    const labels = { [HEADLESS_LABEL]: "" };
    await harness.put(slice("web-a", "web", {}, "IPv4", labels));
    await start();
    assert.equal(store.slicesOf("default/web").size, 0);
    await harness.put(slice("web-a", "web"));
    await until(store, () => store.slicesOf("default/web").size === 1);
    await harness.put(slice("web-a", "web", {}, "IPv4", labels));
    await until(store, () => store.slicesOf("default/web").size === 0);
  });

  claim("a slice that moves to another Service marks both", async ({ harness, store, start }) => {
    await harness.put(slice("moving", "old"));
    await start();
    assert.equal(store.slicesOf("default/old").size, 1);
    store.takeChanges();
    await harness.put(slice("moving", "new"));
    await until(store, () => store.slicesOf("default/new").size === 1);
    assert.equal(store.slicesOf("default/old").size, 0);
    assert.deepEqual([...store.takeChanges().services].sort(), ["default/new", "default/old"]);
  });

  claim("a slice that goes marks its Service", async ({ harness, store, start }) => {
    await harness.put(slice("web-a", "web"));
    await start();
    store.takeChanges();
    await harness.remove({ kind: "EndpointSlice", name: "web-a" });
    await until(store, () => store.slicesOf("default/web").size === 0);
    assert.deepEqual([...store.takeChanges().services], ["default/web"]);
  });
}

function firstAddress(store: KubeStore, key: string): string | undefined {
  return [...store.slicesOf(key).values()][0]?.endpoints[0]?.address;
}

function service(name: string, spec: JsonRecord = {}, labels: JsonRecord = {}): JsonRecord {
  const outside = spec["type"] === "ExternalName";
  const inside = outside ? {} : { clusterIP: "10.96.77.1", ports: [{ name: "a", port: 80 }] };
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default", labels },
    spec: { ...inside, ...spec },
  };
}

function slice(
  name: string,
  serviceName: string,
  endpoint: JsonRecord = {},
  addressType = "IPv4",
  labels: JsonRecord = {},
): JsonRecord {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name,
      namespace: "default",
      labels: { "kubernetes.io/service-name": serviceName, ...labels },
    },
    addressType,
    ports: [{ name: "a", protocol: "TCP", port: 8080 }],
    endpoints: [{ addresses: ["10.1.0.7"], ...endpoint }],
  };
}

function node(name: string): JsonRecord {
  return { apiVersion: "v1", kind: "Node", metadata: { name, labels: { zone: "a" } } };
}
