// Many Services with hand-made EndpointSlices, for benches and storms.
//
// An API server counts every allocated address again for each Service it creates: 10,000 take two
// and a half minutes (1.36, two cores). So only the first Service is created through it; the others
// are copies of what it made of that one, written straight to etcd, with their IPAddress objects.

import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { V1Service } from "@kubernetes/client-node";
import type { ControlPlane } from "./control-plane.ts";
import {
  type EndpointOptions,
  type LoadSlice,
  moveFirstEndpoint,
  planSlices,
} from "./load-slices.ts";
import { inParallel } from "./parallel.ts";
import { copyService, createTemplate, freeClusterIPs, storeSlice } from "./service-copies.ts";

const ETCD_WORKERS = 16;
const STORM_WORKERS = 32;

export interface LoadOptions extends EndpointOptions {
  /** Created when missing; must hold no load yet. @default "load" */
  readonly namespace?: string;
}

/** What `fillServices` made. Everything listens on TCP port 80 and leads to port 8080. */
export interface Load {
  readonly namespace: string;
  /** By number: names are `service-0` and so on. */
  readonly services: readonly { readonly name: string; readonly clusterIP: string }[];
  /** In the order of their Services. */
  readonly slices: readonly LoadSlice[];
  readonly durationMs: number;
}

/**
 * Creates `count` IPv4 ClusterIP Services of `endpointsPerService` ready endpoints each; watches
 * see every one. 10,000 of 10 take about ten seconds on two cores.
 * @throws when the namespace holds such Services already; what was made until then stays
 */
export async function fillServices(
  controlPlane: ControlPlane,
  count: number,
  endpointsPerService: number,
  options: LoadOptions = {},
): Promise<Load> {
  const { namespace = "load" } = options;
  const startMs = performance.now();
  const template = await createTemplate(controlPlane, namespace);
  const free = await freeClusterIPs(controlPlane, count - 1);
  const services = [template.clusterIP, ...free].map((clusterIP, number) => ({
    name: `service-${number}`,
    clusterIP,
  }));
  const slices: (readonly LoadSlice[])[] = [];
  await inParallel(ETCD_WORKERS, count, async (number) => {
    const service = services[number];
    assert(service !== undefined);
    const planned = planSlices(namespace, number, endpointsPerService, options);
    slices[number] = planned;
    const [first = [], ...others] = planned.map((slice) => [storeSlice(slice, template)]);
    const copies = number === 0 ? [] : copyService(template, service.name, service.clusterIP);
    await controlPlane.etcd.create([...copies, ...first]);
    for (const other of others) await controlPlane.etcd.create(other);
  });
  await confirm(controlPlane, namespace, services.at(-1));
  const durationMs = performance.now() - startMs;
  return { namespace, services, slices: slices.flat(), durationMs };
}

export interface StormOptions {
  readonly ratePerSecond: number;
  readonly durationMs: number;
  /** Requests in flight; the rate is missed when they do not suffice. @default 32 */
  readonly workers?: number;
  /** Ends the storm early, without an error. */
  readonly signal?: AbortSignal;
}

export interface Storm {
  readonly updates: number;
  readonly durationMs: number;
  /** What was written last, by slice name: what everybody must agree on in the end. */
  readonly newest: ReadonlyMap<string, LoadSlice>;
}

/**
 * Replaces slices of a load in turn at a steady rate, through the API server; each time the first
 * endpoint moves to a new address of 10.64.0.0/10. Judge the rate by what it returns.
 */
export async function touchSlices(
  controlPlane: ControlPlane,
  load: Load,
  options: StormOptions,
): Promise<Storm> {
  const { ratePerSecond, durationMs, workers = STORM_WORKERS, signal } = options;
  // Two updates of one slice in flight at once could arrive in either order.
  assert(load.slices.length >= 2 * workers, "a storm needs two slices for each worker");
  const path = `/apis/discovery.k8s.io/v1/namespaces/${load.namespace}/endpointslices`;
  const startMs = performance.now();
  const newest = new Map<string, LoadSlice>();
  let updates = 0;
  await inParallel(workers, Math.floor((ratePerSecond * durationMs) / 1000), async (number) => {
    const dueMs = startMs + (number * 1000) / ratePerSecond;
    const nowMs = performance.now();
    if (signal?.aborted === true || nowMs > startMs + durationMs) return;
    if (dueMs > nowMs) await delay(dueMs - nowMs);
    const slice = load.slices[number % load.slices.length];
    assert(slice !== undefined);
    const moved = moveFirstEndpoint(slice, number);
    newest.set(moved.metadata.name, moved);
    await controlPlane.admin.request("PUT", `${path}/${moved.metadata.name}`, moved);
    updates += 1;
  });
  return { updates, durationMs: performance.now() - startMs, newest };
}

/** Asks the API server for the last Service: it reads what it did not write. */
async function confirm(
  controlPlane: ControlPlane,
  namespace: string,
  last: { readonly name: string; readonly clusterIP: string } | undefined,
): Promise<void> {
  assert(last !== undefined, "a load has a Service");
  const path = `/api/v1/namespaces/${namespace}/services/${last.name}`;
  const service = await controlPlane.admin.request<V1Service>("GET", path);
  assert.equal(service.spec?.clusterIP, last.clusterIP);
}
