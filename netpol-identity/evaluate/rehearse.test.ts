// What a change of policies would have done to connections that were seen.

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNetworkPolicy } from "../../lib/kube/api/network-policy.ts";
import { parseServiceAccountPolicy } from "../../lib/kube/api/service-account-policy.ts";
import type { Parsed } from "../../lib/kube/api/parsed.ts";
import type { KubeObject } from "../../lib/kube/store.ts";
import type { EdgePod, EdgeReport } from "../model/edge-report.ts";
import { rehearse } from "./rehearse.ts";
import { SamplePolicies } from "./sample-policies.ts";

const cluster = new SamplePolicies();
cluster.namespace("shop");
cluster.account("shop/front");

const pod = (name: string, labels: EdgePod["labels"] = {}): EdgePod => ({
  namespace: "shop",
  name,
  nodeName: "node-1",
  serviceAccount: name.split("-")[0] ?? "",
  labels,
  ports: [{ name: "http", protocol: "TCP", port: 8080 }],
});

const edge = {
  protocol: "TCP",
  port: 8080,
  isProven: false,
  firstMs: 1,
  lastMs: 2,
  count: 3,
} as const;
const FRONT = pod("front-1", { app: "front" });
const BATCH = pod("batch-1", { app: "batch" });
const PAY = pod("pay-1", { app: "pay" });

/** Each calls the last pod; `0` has address 10.0.0.1. */
function report(pods: readonly EdgePod[], addresses: readonly string[]): EdgeReport {
  const last = pods.length - 1;
  const server = { pod: last, address: addresses[last] ?? "" };
  const edges = pods.slice(0, -1).map((_, i) => ({
    client: { pod: i, address: addresses[i] ?? "" },
    server,
    ...edge,
  }));
  return { node: "node-1", pods, edges };
}

const onlyFront = networkPolicy({
  podSelector: { matchLabels: { app: "pay" } },
  ingress: [
    { from: [{ podSelector: { matchLabels: { app: "front" } } }], ports: [{ port: "http" }] },
  ],
});

function verdicts(
  reports: readonly EdgeReport[],
  after: readonly KubeObject[],
): readonly (readonly string[])[] {
  const trustDomain = "cluster.local";
  return rehearse({ trustDomain, reports, cluster: cluster.store, before: [], after }).map(
    ({ client, before, after: then }) => [client.pod?.name ?? "", before.verdict, then.verdict],
  );
}

test("each edge is judged by what is and by what would be, with pods that may be gone", () => {
  const seen = report([FRONT, BATCH, PAY], ["10.0.0.1", "10.0.0.2", "10.0.0.9"]);
  assert.deepEqual(verdicts([seen], [onlyFront]), [
    ["front-1", "allow", "allow"],
    ["batch-1", "allow", "deny"],
  ]);
});

test("an address that two pods had in turn is each one's own", () => {
  const seen = report([FRONT, BATCH, PAY], ["10.0.0.1", "10.0.0.1", "10.0.0.9"]);
  assert.deepEqual(verdicts([seen], [onlyFront]), [
    ["front-1", "allow", "allow"],
    ["batch-1", "allow", "deny"],
  ]);
});

test("a pod that changed its labels is judged by those of the time", () => {
  const was = { ...FRONT, labels: { app: "other" } };
  const seen = report([was, FRONT, PAY], ["10.0.0.1", "10.0.0.1", "10.0.0.9"]);
  assert.deepEqual(verdicts([seen], [onlyFront]), [
    ["front-1", "allow", "deny"],
    ["front-1", "allow", "allow"],
  ]);
});

test("what two nodes saw counts once", () => {
  const seen = report([FRONT, PAY], ["10.0.0.1", "10.0.0.9"]);
  const later = { ...seen, edges: seen.edges.map((one) => ({ ...one, lastMs: 9, count: 1 })) };
  const input = { trustDomain: "cluster.local", cluster: cluster.store, before: [], after: [] };
  const [only, ...rest] = rehearse({ ...input, reports: [seen, later] });
  assert.deepEqual(rest, []);
  assert.deepEqual([only?.firstMs, only?.lastMs, only?.count], [1, 9, 3]);
});

test("a tunnel proves its client's ServiceAccount", () => {
  const policy = accountPolicy({
    podSelector: { matchLabels: { app: "pay" } },
    ingress: [{ from: [{ serviceAccounts: [{ name: "front" }] }] }],
  });
  const seen = report([FRONT, PAY], ["10.0.0.1", "10.0.0.9"]);
  const proven = { ...seen, edges: seen.edges.map((one) => ({ ...one, isProven: true })) };
  assert.deepEqual(verdicts([proven], [policy]), [["front-1", "allow", "allow"]]);
  assert.deepEqual(verdicts([seen], [policy]), [["front-1", "allow", "deny"]]);
});

test("where rules are about requests, each one that was seen is judged", () => {
  const policy = (http: readonly unknown[]): KubeObject =>
    accountPolicy({ podSelector: { matchLabels: { app: "pay" } }, ingress: [{ http }] });
  const names = ["GET /a", "POST /a", "GET /admin"];
  const requests = names.map((name) => {
    const [method = "", path = ""] = name.split(" ");
    return { method, host: "pay", path };
  });
  const seen = report([FRONT, PAY], ["10.0.0.1", "10.0.0.9"]);
  const [first = assert.fail()] = seen.edges;
  const halves = [requests.slice(0, 2), requests.slice(1)];
  const reports = halves.map((half) => ({ ...seen, edges: [{ ...first, requests: half }] }));
  const input = { trustDomain: "cluster.local", cluster: cluster.store, before: [], reports };
  const judged = (http: readonly unknown[]) => {
    const [edge] = rehearse({ ...input, after: [policy(http)] });
    assert.equal(edge?.after.verdict, "open");
    return edge.requests?.map((one) => [
      `${one.method} ${one.path}`,
      one.before.verdict,
      one.after.verdict,
    ]);
  };
  assert.deepEqual(judged([{ methods: ["GET"], path: { type: "Exact", value: "/a" } }]), [
    ["GET /a", "allow", "allow"],
    ["POST /a", "allow", "deny"],
    ["GET /admin", "allow", "deny"],
  ]);
  assert.deepEqual(
    judged([
      { methods: ["POST"] },
      { path: { type: "Prefix", value: "/admin" }, headers: [{ name: "x" }] },
    ]),
    [
      ["GET /a", "allow", "deny"],
      ["POST /a", "allow", "allow"],
      ["GET /admin", "allow", "open"],
    ],
  );
});

test("clients outside are judged by the address that was met last", () => {
  const policy = networkPolicy({
    podSelector: {},
    ingress: [{ from: [{ ipBlock: { cidr: "9.9.9.0/24" } }] }],
  });
  const server = { pod: 0, address: "10.0.0.9" };
  const edges = ["9.9.9.9", "8.8.8.8"].map((address) => ({ client: { address }, server, ...edge }));
  const found = verdicts([{ node: "node-1", pods: [PAY], edges }], [policy]);
  assert.deepEqual(
    found.map(([, , after]) => after),
    ["allow", "deny"],
  );
});

function networkPolicy(spec: Readonly<Record<string, unknown>>): KubeObject {
  return read(parseNetworkPolicy({ metadata: { namespace: "shop", name: "new" }, spec }));
}

function accountPolicy(spec: Readonly<Record<string, unknown>>): KubeObject {
  return read(parseServiceAccountPolicy({ metadata: { namespace: "shop", name: "new" }, spec }));
}

function read(parsed: Parsed<KubeObject>): KubeObject {
  assert.ok(parsed.kind === "ok", JSON.stringify(parsed));
  return parsed.object;
}
