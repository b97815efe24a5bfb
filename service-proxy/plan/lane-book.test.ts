import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNamespace } from "../../lib/kube/api/namespace.ts";
import { parseService, type Service } from "../../lib/kube/api/service.ts";
import type { StoreChanges } from "../../lib/kube/store.ts";
import { LaneBook, type LaneSource } from "./lane-book.ts";
import { type SampleRoute, sampleSource, WEB } from "./sample-routes.ts";

const NO_CHANGES: StoreChanges = {
  services: new Set(),
  node: false,
  serviceCidrs: false,
  namespaces: false,
  pods: false,
  routes: false,
  serviceEvents: 0,
  sliceEvents: 0,
};

function source(
  routes: readonly SampleRoute[],
  namespaceLabels: Readonly<Record<string, string>> = {},
): LaneSource {
  const shop = parseNamespace({ metadata: { name: "shop", labels: namespaceLabels } });
  assert(shop.kind === "ok");
  return {
    ...sampleSource(routes),
    namespaces: new Map([["shop", shop.object]]),
    slicesOf: () => new Map(),
  };
}

const TCP_ROUTE: SampleRoute = {
  kind: "TCPRoute",
  name: "share",
  spec: { parentRefs: [{ ...WEB, port: 80 }], rules: [{ backendRefs: [{ name: "a", port: 80 }] }] },
};

function lane(book: LaneBook, { services }: LaneSource, key = "shop/web") {
  const service = services.get(key) ?? assert.fail(key);
  const [port] = service.ports;
  assert(port !== undefined);
  return book.laneOf(service, port);
}

test("a route moves its parent to the proxy, and makes its backend one", () => {
  const book = new LaneBook({ proxyMode: "auto" });
  const before = source([]);
  book.update(before);
  assert.equal(lane(book, before).lane, "kernel");
  const after = source([TCP_ROUTE]);
  const again = [...book.update(after, { ...NO_CHANGES, routes: true })];
  assert.deepEqual(again.sort(), ["shop/a", "shop/web"]);
  assert.equal(lane(book, after).lane, "l4");
  assert.equal(lane(book, after, "shop/a").isBackend, true);
  assert.equal(lane(book, after, "shop/a").lane, "kernel");
});

test("a route that goes takes both back", () => {
  const book = new LaneBook({ proxyMode: "auto" });
  book.update(source([TCP_ROUTE]));
  const after = source([]);
  const again = [...book.update(after, { ...NO_CHANGES, routes: true })];
  assert.deepEqual(again.sort(), ["shop/a", "shop/web"]);
  assert.equal(lane(book, after).lane, "kernel");
});

test("a namespace's label moves every Service of it, once", () => {
  const book = new LaneBook({ proxyMode: "auto" });
  book.update(source([]));
  const after = source([], { "innermesh.io/lane": "l4" });
  const again = [...book.update(after, { ...NO_CHANGES, namespaces: true })];
  assert.deepEqual(again.sort(), ["shop/a", "shop/b", "shop/web", "shop/wss"]);
  assert.equal(lane(book, after).lane, "l4");
  assert.equal(lane(book, after, "other/c").lane, "kernel");
  assert.deepEqual([...book.update(after, { ...NO_CHANGES, namespaces: true })], []);
});

test("labels and annotations that mean nothing are told on their Service", () => {
  const strange = service({
    labels: { "innermesh.io/lane": "fast" },
    annotations: { "innermesh.io/balancing": "fast", "innermesh.io/proxy-protocol": "yes" },
  });
  const book = new LaneBook({ proxyMode: "auto" });
  book.update({ ...source([]), services: new Map([["shop/web", strange]]) });
  assert.deepEqual(
    book
      .problems()
      .map(({ field }) => field)
      .sort(),
    [
      'metadata.annotations["innermesh.io/balancing"]',
      'metadata.annotations["innermesh.io/proxy-protocol"]',
      'metadata.labels["innermesh.io/lane"]',
    ],
  );
});

function service(metadata: Readonly<Record<string, unknown>>): Service {
  const parsed = parseService({
    metadata: { namespace: "shop", name: "web", ...metadata },
    spec: { clusterIP: "10.96.0.1", ports: [{ port: 80 }] },
  });
  assert(parsed.kind === "ok");
  return parsed.object;
}

test("a route that waits for its parent takes it as soon as it comes", () => {
  const book = new LaneBook({ proxyMode: "auto" });
  const all = source([TCP_ROUTE]);
  const without = new Map([...all.services].filter(([key]) => key !== "shop/web"));
  book.update({ ...all, services: without });
  const came = { ...NO_CHANGES, services: new Set(["shop/web"]), serviceEvents: 1 };
  assert([...book.update(all, came)].includes("shop/web"));
  assert.equal(lane(book, all).lane, "l4");
});
