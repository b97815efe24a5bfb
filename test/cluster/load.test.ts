// A load that was written past the API server looks as if it had made every object itself.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { V1EndpointSlice, V1IPAddress, V1Service } from "@kubernetes/client-node";
import { createService } from "./cluster-objects.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { fillServices, type Load, touchSlices } from "./load.ts";

const COUNT = 40;
const ENDPOINTS = 3;
const SERVICES = "/api/v1/namespaces/load/services";
const SLICES = "/apis/discovery.k8s.io/v1/namespaces/load/endpointslices";

suite("load", () => {
  let controlPlane: ControlPlane;
  let load: Load;
  let watched: string;

  before(async () => {
    controlPlane = await startControlPlane({ controllers: [] });
    const list = await controlPlane.admin.request<List<V1Service>>("GET", SERVICES);
    const version = list.metadata.resourceVersion;
    const watch = `${SERVICES}?watch=1&timeoutSeconds=3&resourceVersion=${version}`;
    // More events than one: the answer is not one JSON value, so it is asked for as text.
    const events = controlPlane.admin.requestText("GET", watch);
    const options = { nodeNames: ["node-1", "node-2"] };
    load = await fillServices(controlPlane, COUNT, ENDPOINTS, options);
    watched = await events;
  });
  after(async () => controlPlane[Symbol.asyncDispose]());

  test("every Service is listed complete, at the address that the load names", async () => {
    const { items } = await controlPlane.admin.request<List<V1Service>>("GET", SERVICES);
    const found = new Map(items.map((item) => [item.metadata?.name, item.spec]));
    assert.equal(found.size, COUNT);
    for (const { name, clusterIP } of load.services) {
      const { clusterIPs: _, clusterIP: address, ...rest } = found.get(name) ?? {};
      const { clusterIPs: __, clusterIP: ___, ...first } = found.get("service-0") ?? {};
      assert.equal(address, clusterIP);
      assert.deepEqual(rest, first);
    }
  });

  test("a watch that was open meanwhile sees every Service appear once", () => {
    const events = watched.trim().split("\n");
    assert.equal(events.filter((line) => line.startsWith('{"type":"ADDED"')).length, COUNT);
    assert.equal(events.length, COUNT);
  });

  test("slices have the endpoints asked for, on nodes in turn", async () => {
    const { items } = await controlPlane.admin.request<List<V1EndpointSlice>>("GET", SLICES);
    assert.equal(items.length, COUNT);
    const endpoints = items.flatMap((slice) => slice.endpoints ?? []);
    assert.equal(new Set(endpoints.flatMap(({ addresses }) => addresses)).size, COUNT * ENDPOINTS);
    assert.equal(endpoints.filter(({ nodeName }) => nodeName === "node-1").length, 60);
  });

  test("addresses count as taken and are freed with their Service", async () => {
    const { admin } = controlPlane;
    const clusterIP = load.services[7]?.clusterIP ?? "";
    const thief = { name: "thief", spec: { clusterIP, ports: [{ port: 80 }] } };
    await assert.rejects(createService(admin, thief), /provided IP is already allocated/);
    await admin.request("DELETE", `${SERVICES}/service-7`);
    await createService(admin, thief);
    const path = `/apis/networking.k8s.io/v1/ipaddresses/${clusterIP}`;
    const owner = (await admin.request<V1IPAddress>("GET", path)).spec?.parentRef;
    assert.equal(owner?.name, "thief");
  });

  test("a storm leaves each slice as it was written last", async () => {
    const storm = await touchSlices(controlPlane, load, {
      ratePerSecond: 100,
      durationMs: 3_000,
      workers: 4,
    });
    assert.ok(storm.updates > COUNT, `only ${storm.updates} updates`);
    const { items } = await controlPlane.admin.request<List<V1EndpointSlice>>("GET", SLICES);
    for (const { metadata, endpoints } of items) {
      const written = storm.newest.get(metadata?.name ?? "");
      assert.deepEqual(endpoints, written?.endpoints, `slice ${metadata?.name}`);
    }
  });

  test("a second load in the same namespace is refused", async () => {
    await assert.rejects(fillServices(controlPlane, 2, 1), /"service-0" already exists/);
  });
});

interface List<Item> {
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly Item[];
}
