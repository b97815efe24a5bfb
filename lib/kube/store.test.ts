// What readers of the store may rely on: indexes, marks, one announcement a turn.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { EndpointSlice } from "./api/endpoint-slice.ts";
import { type HttpRoute, parseHttpRoute } from "./api/http-route.ts";
import type { Node } from "./api/node.ts";
import { parseService, type Service } from "./api/service.ts";
import { parseServiceAccount, type ServiceAccount } from "./api/service-account.ts";
import { type KubeStore, makeStore } from "./store.ts";

function service(name: string, resourceVersion = "1"): Service {
  const metadata = { name, uid: name, resourceVersion };
  const parsed = parseService({ metadata, spec: { clusterIP: "10.96.0.1", ports: [{ port: 1 }] } });
  assert.ok(parsed.kind === "ok");
  return parsed.object;
}

function slice(name: string, serviceName: string, resourceVersion = "1"): EndpointSlice {
  const identity = { namespace: "default", name, uid: name, resourceVersion };
  return {
    kind: "EndpointSlice",
    ...identity,
    serviceName,
    addressType: "IPv4",
    ports: [],
    endpoints: [],
  };
}

function node(resourceVersion: string, zone: string): Node {
  return {
    kind: "Node",
    name: "node-a",
    uid: "n",
    resourceVersion,
    labels: { zone },
    addresses: [],
    podCIDRs: [],
    taintKeys: [],
    deleting: false,
  };
}

function marked(store: KubeStore): readonly string[] {
  return [...store.takeChanges().services].sort();
}

test("a store is synced once each of its kinds was listed, and stays so", () => {
  const store = makeStore(["Service", "Node"]);
  store.put(service("web"));
  assert.equal(store.synced, false);
  store.replace("Service", []);
  assert.equal(store.synced, false);
  store.replace("Node", []);
  assert.equal(store.synced, true);
  store.remove("Service", "default/web");
  assert.equal(store.synced, true);
});

test("Services are marked by their own changes and by their slices' changes", () => {
  const store = makeStore([]);
  store.put(service("web"));
  assert.deepEqual(marked(store), ["default/web"]);
  store.put(slice("web-a", "web"));
  assert.deepEqual(marked(store), ["default/web"]);
  store.put(slice("web-a", "db", "2"));
  assert.deepEqual(marked(store), ["default/db", "default/web"]);
  store.remove("EndpointSlice", "default/web-a");
  assert.deepEqual(marked(store), ["default/db"]);
  store.remove("EndpointSlice", "default/web-a");
  assert.deepEqual(marked(store), []);
});

test("slices are found by their Service, and an empty answer leaves nothing behind", () => {
  const store = makeStore([]);
  store.put(slice("a", "web"));
  store.put(slice("b", "web"));
  assert.deepEqual([...store.slicesOf("default/web").keys()], ["a", "b"]);
  store.replace("EndpointSlice", []);
  assert.equal(store.slicesOf("default/web").size, 0);
  assert.equal(store.slicesOf("default/other").size, 0);
});

test("a list marks only what differs", () => {
  const store = makeStore([]);
  store.replace("Service", [service("a"), service("b"), service("c")]);
  marked(store);
  store.replace("Service", [service("a"), service("b", "2"), service("d")]);
  assert.deepEqual(marked(store), ["default/b", "default/c", "default/d"]);
});

test("a list keeps the objects that were listed but not readable", () => {
  const store = makeStore([]);
  store.replace("Service", [service("a"), service("b")]);
  store.replace("Service", [], new Set(["default/b"]));
  assert.deepEqual([...store.services.keys()], ["default/b"]);
});

test("a Node that only beats its heart is no change", () => {
  const store = makeStore([]);
  store.put(node("1", "a"));
  assert.equal(store.takeChanges().node, true);
  store.put(node("2", "a"));
  assert.equal(store.takeChanges().node, false);
  assert.equal(store.nodes.get("node-a")?.resourceVersion, "2");
  store.put(node("3", "b"));
  assert.equal(store.takeChanges().node, true);
  store.remove("Node", "node-a");
  assert.equal(store.takeChanges().node, true);
});

test("ServiceCIDRs are marked", () => {
  const store = makeStore([]);
  const identity = { name: "a", uid: "a", resourceVersion: "1" };
  store.put({ kind: "ServiceCIDR", ...identity, cidrs: ["10.96.0.0/16"] });
  assert.equal(store.takeChanges().serviceCidrs, true);
  assert.equal(store.takeChanges().serviceCidrs, false);
});

test("routes and Namespaces are marked, and a status that somebody wrote is no change", () => {
  const store = makeStore([]);
  const route = (resourceVersion: string, port: number): HttpRoute => {
    const metadata = { name: "web", uid: "r", resourceVersion };
    const spec = { rules: [{ backendRefs: [{ name: "web", port }] }] };
    const parsed = parseHttpRoute({ metadata, spec, status: { parents: [resourceVersion] } });
    assert.ok(parsed.kind === "ok");
    return parsed.object;
  };
  const marks = (): readonly boolean[] => {
    const { routes, namespaces } = store.takeChanges();
    return [routes, namespaces];
  };
  store.put(route("1", 80));
  assert.deepEqual(marks(), [true, false]);
  store.put(route("2", 80));
  assert.deepEqual(marks(), [false, false]);
  store.put(route("3", 81));
  assert.deepEqual(marks(), [true, false]);
  store.replace("HTTPRoute", []);
  assert.deepEqual(marks(), [true, false]);
  store.put({ kind: "Namespace", name: "shop", uid: "n", resourceVersion: "1", labels: {} });
  assert.deepEqual(marks(), [false, true]);
  assert.deepEqual([store.httpRoutes.size, store.namespaces.size], [0, 1]);
});

test("a kind's revision counts its changes, whoever took the marks", () => {
  const store = makeStore([]);
  const web = (resourceVersion: string, labels = {}): ServiceAccount => {
    const metadata = { name: "web", uid: "u", resourceVersion, labels };
    const parsed = parseServiceAccount({ metadata });
    return parsed.kind === "ok" ? parsed.object : assert.fail();
  };
  store.put(web("1"));
  store.takeChanges();
  const before = store.revisionOf("ServiceAccount");
  store.put(web("2"));
  assert.equal(store.revisionOf("ServiceAccount"), before, "its version alone is no change");
  store.put(web("3", { a: "b" }));
  assert.equal(store.revisionOf("ServiceAccount"), before + 1);
  assert.deepEqual([...store.serviceAccounts.keys()], ["default/web"]);
  assert.equal(store.revisionOf("Service"), 0);
  store.put(service("web"));
  store.put(slice("web-a", "web"));
  assert.deepEqual([store.revisionOf("Service"), store.revisionOf("EndpointSlice")], [1, 1]);
});

test("listeners hear of many changes once a turn, and no more after they left", async () => {
  const store = makeStore(["Service"]);
  let calls = 0;
  const leave = store.onChange(() => calls++);
  store.put(service("a"));
  store.put(service("b"));
  store.report("file a.yaml", [{ object: "file a.yaml:1", field: "", message: "bad" }]);
  assert.equal(calls, 0);
  await nextTurn();
  assert.equal(calls, 1);
  store.put(service("b"));
  await nextTurn();
  assert.equal(calls, 1);
  leave();
  store.replace("Service", []);
  await nextTurn();
  assert.equal(calls, 1);
});

test("an empty first list is announced, for it may complete the sync", async () => {
  const store = makeStore(["Service"]);
  let calls = 0;
  store.onChange(() => calls++);
  store.replace("Service", []);
  await nextTurn();
  assert.equal(calls, 1);
});

test("problems are kept by subject, cleared by an empty list, and announced when they change", async () => {
  const store = makeStore([]);
  const problem = { object: "Service default/web", field: "spec.type", message: "bad" };
  store.report("Service default/web", [problem]);
  await nextTurn();
  let calls = 0;
  store.onChange(() => calls++);
  store.report("Service default/web", [{ ...problem }]);
  store.report("Service default/other", []);
  await nextTurn();
  assert.equal(calls, 0);
  store.report("Service default/web", []);
  await nextTurn();
  assert.deepEqual([store.problems.size, calls], [0, 1]);
});
