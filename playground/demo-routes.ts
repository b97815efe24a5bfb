// The tour's third part: routes of the Gateway API with a Service as parent. Each is written under
// load where a change could cost a request.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type DemoService,
  grpcRoute,
  httpRoute,
  serviceObjects,
  weighted,
} from "./demo-manifests.ts";
import { http, list, podsOf, type Stage, type Step, writeObjects } from "./demo-stage.ts";
import { topRows, WATCH_STEPS } from "./demo-watch.ts";
import { countAnswers } from "./probe.ts";
import type { ProbeRequest, ProbeResult } from "./probe-protocol.ts";
import type { UnaryReport } from "./web-protocol.ts";

export const ROUTE_STEPS: readonly Step[] = [
  shift,
  choose,
  mirror,
  eject,
  balanceCalls,
  ...WATCH_STEPS,
  comeBack,
];

const SHOP_VIP = "10.96.0.50";
const CART_VIP = "10.96.0.54";
/** Over the same pods, in the kernel lane. */
const PLAIN_VIP = "10.96.0.55";
const ORDERS_VIP = "10.96.0.60";
const GRPC_PORT = 50051;
const CART_PORT = 8081;
const CART = [{ name: "http", port: 80, targetPort: CART_PORT }];
const FAILING = "pod-2-2";

const V1 = ["pod-1-1", "pod-2-1"];
const V2 = ["pod-1-2", "pod-2-2"];
const SHOP: readonly DemoService[] = [
  { name: "shop", clusterIp: SHOP_VIP, pods: "all" },
  { name: "shop-v1", clusterIp: "10.96.0.51", pods: V1 },
  { name: "shop-v2", clusterIp: "10.96.0.52", pods: V2 },
  { name: "shop-mirror", clusterIp: "10.96.0.53", pods: ["pod-2-1"], ports: CART },
  { name: "cart", clusterIp: CART_VIP, pods: "all", ports: CART },
  { name: "cart-plain", clusterIp: PLAIN_VIP, pods: "all", ports: CART },
  {
    name: "orders",
    clusterIp: ORDERS_VIP,
    pods: "all",
    ports: [{ name: "grpc", port: GRPC_PORT, targetPort: GRPC_PORT }],
  },
];

const SAMPLE = 300;
/** Of a sample's share, in percent: as much as chance and the load beside it may do. */
const TOLERANCE = 5;
const IN_FORCE_WITHIN_MS = 15_000;
/** An endpoint is left out for ten seconds the first time. */
const RETURNS_WITHIN_MS = 30_000;

async function shift(stage: Stage): Promise<void> {
  const { tour, playground, pod } = stage;
  await tour.step("an HTTPRoute shifts Service shop from v1 to v2 by weight, live", async () => {
    await writeObjects(stage, "shop", serviceObjects(SHOP, podsOf(playground)));
    const load = pod.startLoad(shop(), { ratePerSecond: 100, durationMs: 60_000 });
    const seen: string[] = [];
    for (const weight of [10, 50, 100]) {
      const backendRefs = [weighted("shop-v1", 100 - weight), weighted("shop-v2", weight)];
      await writeObjects(stage, "route", [httpRoute("shop", [{ backendRefs }])]);
      seen.push(`${await shareOfV2(stage, weight)} % at weight ${weight}`);
    }
    const report = await load.stop();
    assert.equal(report.failed, 0, JSON.stringify(report.failures[0]));
    assert.equal(report.pods[""], undefined, "answers that are no pod's");
    return `v2 got ${seen.join(", ")}; ${report.started} requests beside it, 0 failed`;
  });
}

async function choose(stage: Stage): Promise<void> {
  const { tour, pod } = stage;
  await tour.step("a rule on the header x-tester sends testers alone to v2", async () => {
    const tester = { headers: [{ name: "x-tester", value: "yes" }] };
    await writeObjects(stage, "route", [
      httpRoute("shop", [
        { matches: [tester], backendRefs: [weighted("shop-v2", 1)] },
        { backendRefs: [weighted("shop-v1", 1)] },
      ]),
    ]);
    await inForce(async () => (await countV2(stage, 20)) === 0);
    const testers = await pod.tryMany({ ...shop(), headers: { "x-tester": "yes" } }, 20, 4);
    const others = await pod.tryMany(shop(), 20, 4);
    return `testers: ${answeredBy(V2, testers)}; others: ${answeredBy(V1, others)}`;
  });
}

async function mirror(stage: Stage): Promise<void> {
  const { tour, playground, pod, peer } = stage;
  await tour.step("a RequestMirror filter copies requests to a pod that answers 500", async () => {
    const copied = playground.pod(2, 1);
    await Promise.all(podsOf(playground).map((one) => peer.serveHttp(one, CART_PORT)));
    await peer.answer(copied, 500);
    const filter = {
      type: "RequestMirror",
      requestMirror: { backendRef: { name: "shop-mirror", port: 80 } },
    };
    await writeObjects(stage, "route", [
      httpRoute("shop", [{ filters: [filter], backendRefs: [weighted("shop-v1", 1)] }]),
    ]);
    await inForce(async () => {
      await pod.try(shop());
      return (await peer.requests(copied, "/")) > 0;
    });
    const results = await pod.tryMany({ ...shop(), path: "/cart" }, 20, 4);
    for (const result of results) assert(result.kind === "reply" && result.status === 200);
    await inForce(async () => (await peer.requests(copied, "/cart")) >= 20);
    assert.equal(await peer.requests(copied, "/cart"), 20);
    await peer.answer(copied, 200);
    return `20 requests answered 200 by ${answeredBy(V1, results)}; the mirror got 20 copies`;
  });
}

async function eject(stage: Stage): Promise<void> {
  const { tour, playground, peer } = stage;
  await tour.step(`one of four servers, ${FAILING}, begins to answer 503`, async () => {
    const failing = playground.pod(2, 2);
    const backendRefs = [weighted("cart", 1)];
    await writeObjects(stage, "cart-route", [
      httpRoute("cart", [{ backendRefs, retry: { codes: [503], attempts: 2 } }]),
    ]);
    await inForce(async () => (await isProxied(stage)) && (await ofFailing(stage)) > 0);
    const before = await peer.requests(failing, "/");
    await peer.answer(failing, 503);
    await inForce(async () => (await ejected(stage)) === 1 && (await ofFailing(stage)) === 0);
    const hits = (await peer.requests(failing, "/")) - before;
    const plain = await unavailable(stage, PLAIN_VIP);
    assert(plain > 0);
    const proxy = `proxy: ejected after ${hits} of them, which were tried again elsewhere`;
    return `${proxy}; kernel lane: ${plain} of ${SAMPLE} requests fail`;
  });
}

async function balanceCalls(stage: Stage): Promise<void> {
  const { tour, playground, peer } = stage;
  await tour.step("gRPC: 60 calls on one connection, with and without a GRPCRoute", async () => {
    await Promise.all(podsOf(playground).map((one) => peer.serveGrpc(one, GRPC_PORT)));
    const call = (address: string): Promise<UnaryReport> =>
      peer.callGrpc({ address, port: GRPC_PORT, count: 60, parallel: 12 });
    const plain = await call(ORDERS_VIP);
    assert.deepEqual([Object.keys(plain.pods).length, plain.failed], [1, 0]);
    await writeObjects(stage, "grpc-route", [grpcRoute("orders", GRPC_PORT)]);
    let routed = plain;
    await inForce(async () => {
      routed = await call(ORDERS_VIP);
      assert.equal(routed.failed, 0);
      return Object.keys(routed.pods).length === 4;
    });
    return `without: ${list(plain.pods)}; with: ${list(routed.pods)}`;
  });
}

async function comeBack(stage: Stage): Promise<void> {
  const { tour, playground, peer } = stage;
  await tour.step(`${FAILING} works again`, async () => {
    await peer.answer(playground.pod(2, 2), 200);
    let got = 0;
    await inForce(async () => (got = await ofFailing(stage)) > 0, RETURNS_WITHIN_MS);
    assert.equal(await ejected(stage), 0);
    return `it is back in service: it got ${got} of ${SAMPLE} requests, none failed`;
  });
}

/** Waits until v2 answers about this share of a sample, and tells that of the next, in percent. */
async function shareOfV2(stage: Stage, wanted: number): Promise<number> {
  const share = async (): Promise<number> => (100 * (await countV2(stage, SAMPLE))) / SAMPLE;
  const isNear = (percent: number): boolean => Math.abs(percent - wanted) <= TOLERANCE;
  // While the change was on its way the weights were others.
  await inForce(async () => isNear(await share()));
  const percent = await share();
  assert(isNear(percent), `${percent} %`);
  return Math.round(percent);
}

/** @throws AssertionError when anybody but v1 and v2 answered */
async function countV2({ pod }: Stage, count: number): Promise<number> {
  const answers = countAnswers(await pod.tryMany(shop(), count, 4));
  const sum = (names: readonly string[]): number =>
    names.reduce((total, name) => total + (answers[name] ?? 0), 0);
  assert.equal(sum([...V1, ...V2]), count, list(answers));
  return sum(V2);
}

/** @throws AssertionError when anybody else answered */
function answeredBy(pods: readonly string[], results: readonly ProbeResult[]): string {
  const answers = countAnswers(results);
  for (const name of Object.keys(answers)) assert(pods.includes(name), list(answers));
  return list(answers);
}

/** @returns how many of a sample through `cart` came to the server that fails */
async function ofFailing(stage: Stage): Promise<number> {
  const failing = stage.playground.pod(2, 2);
  const before = await stage.peer.requests(failing, "/");
  assert.equal(await unavailable(stage, CART_VIP), 0);
  return (await stage.peer.requests(failing, "/")) - before;
}

/** @returns how many of a sample were answered 503; @throws AssertionError when any had none */
async function unavailable({ pod }: Stage, address: string): Promise<number> {
  const results = await pod.tryMany(http(address), SAMPLE, 8);
  const statuses = results.map((result) => (result.kind === "reply" ? result.status : 0));
  for (const status of statuses) assert(status === 200 || status === 503, `${status}`);
  return statuses.filter((status) => status === 503).length;
}

/** @returns how many endpoints of `cart` the proxy leaves out */
async function ejected(stage: Stage): Promise<number> {
  const rows = await topRows(stage, () => unavailable(stage, CART_VIP));
  return rows.find(({ service }) => service === "default/cart:80")?.ejected ?? 0;
}

async function isProxied(stage: Stage): Promise<boolean> {
  const rows = await topRows(stage, () => unavailable(stage, CART_VIP));
  return rows.some(({ service }) => service === "default/cart:80");
}

/** Waits for what was just written, or done, to show. @throws AssertionError when it does not */
async function inForce(isSo: () => Promise<boolean>, limitMs = IN_FORCE_WITHIN_MS): Promise<void> {
  const startMs = performance.now();
  while (!(await isSo())) {
    assert(
      performance.now() - startMs < limitMs,
      `not so within ${limitMs} ms: ${isSo.toString()}`,
    );
    await sleep(20);
  }
}

function shop(): ProbeRequest {
  return http(SHOP_VIP);
}
