// The book of edges: what it takes for an edge, what it forgets.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../lib/kube/api/pod.ts";
import { type ConntrackEntry, protocolTcp } from "../../lib/netlink/conntrack-entry.ts";
import { parseEdgeReport } from "../model/edge-report.ts";
import { samplePod } from "../plan/sample-cluster.ts";
import { EdgeBook, type EdgeWorld } from "./edge-book.ts";

const FRONT = samplePod({ name: "front", addresses: ["10.0.0.1"], serviceAccount: "front" });
const PAY = samplePod({ name: "pay", addresses: ["10.0.1.9"], node: "node-2" });

function worldOf(pods: readonly Pod[] = [FRONT, PAY]): EdgeWorld {
  return {
    nodeName: "node-1",
    owned: new Map(pods.flatMap((pod) => pod.addresses.map((address) => [address, pod]))),
    nodes: new Map([["192.168.0.2", "node-2"]]),
    services: new Set(["10.96.0.1"]),
    isProven: () => false,
  };
}

/** Translated where `to` is not `called`. */
function flow(from: string, to: string, more: Partial<ConntrackEntry & { port: number }> = {}) {
  const { port = 80, ...rest } = more;
  const original = { source: from, destination: to, sourcePort: 4_000, destinationPort: port };
  const reply = { source: to, destination: from, sourcePort: port, destinationPort: 4_000 };
  const entry: ConntrackEntry = {
    family: "ip",
    protocol: protocolTcp,
    original,
    reply,
    zone: 0,
    replyZone: 0,
    status: 0,
    id: 1,
    ...rest,
  };
  return entry;
}

function booked(flows: readonly ConntrackEntry[], world = worldOf()) {
  const book = new EdgeBook();
  book.add(flows, world, 1_000);
  return book.report("node-1");
}

test("an edge is between pods behind every translation, with what policies see of them", () => {
  const { original, ...rest } = flow("10.0.0.1", "10.0.1.9", { port: 8080 });
  const called = { ...original, destination: "10.96.0.1", destinationPort: 80 };
  const report = booked([{ ...rest, original: called }]);
  assert.deepEqual(parseEdgeReport(JSON.parse(JSON.stringify(report))), report);
  assert.deepEqual(
    report.pods.map(({ name, serviceAccount }) => [name, serviceAccount]),
    [
      ["front", "front"],
      ["pay", "web"],
    ],
  );
  assert.deepEqual(report.edges, [
    {
      client: { address: "10.0.0.1", pod: 0 },
      server: { address: "10.0.1.9", pod: 1 },
      protocol: "TCP",
      port: 8080,
      isProven: false,
      firstMs: 1_000,
      lastMs: 1_000,
      count: 1,
    },
  ]);
});

test("what does not concern a pod of this node, or goes to a worker, is no edge", () => {
  const nobody = flow("10.0.1.9", "9.9.9.9");
  const toService = flow("10.0.0.1", "10.96.0.1");
  const tunnel = flow("10.0.0.1", "10.0.1.9", { port: 15_008 });
  const icmp = flow("10.0.0.1", "10.0.1.9", { protocol: 1 });
  assert.deepEqual(booked([nobody, toService, tunnel, icmp]).edges, []);
});

test("connections of one pair are one edge, counted once while they live", () => {
  const book = new EdgeBook();
  const world = worldOf();
  const second = flow("10.0.0.1", "10.0.1.9", { id: 2 });
  book.add([flow("10.0.0.1", "10.0.1.9"), second], world, 1_000);
  book.endLook();
  book.add([second, flow("10.0.0.1", "10.0.1.9", { id: 3 })], world, 2_000);
  book.endLook();
  const [edge, ...rest] = book.report("node-1").edges;
  assert.deepEqual(rest, []);
  assert.deepEqual([edge?.count, edge?.firstMs, edge?.lastMs], [3, 1_000, 2_000]);
});

test("clients outside stand together by block, nodes by name", () => {
  const clients = ["9.9.9.1", "9.9.9.2", "9.9.8.1", "192.168.0.2"];
  const { edges } = booked(clients.map((address) => flow(address, "10.0.0.1")));
  assert.deepEqual(
    edges.map(({ client }) => client),
    [{ address: "9.9.9.2" }, { address: "9.9.8.1" }, { address: "192.168.0.2", node: "node-2" }],
  );
});

test("pods that are gone stay in the book, and an address that is used again is another edge", () => {
  const book = new EdgeBook();
  book.add([flow("10.0.0.1", "10.0.1.9")], worldOf(), 1);
  const next = samplePod({ name: "batch", addresses: ["10.0.0.1"] });
  book.add([flow("10.0.0.1", "10.0.1.9")], worldOf([next, PAY]), 2);
  const { edges, pods } = book.report("node-1");
  const names = edges.map(({ client }) => pods[client.pod ?? -1]?.name);
  assert.deepEqual(names, ["front", "batch"]);
});

test("beyond its limit the edge that was seen longest ago goes", () => {
  const book = new EdgeBook(2);
  for (const port of [1, 2, 1, 3]) {
    book.add([flow("10.0.0.1", "10.0.1.9", { port })], worldOf(), port);
  }
  assert.deepEqual(
    book.report("node-1").edges.map(({ port }) => port),
    [1, 3],
  );
});

test("requests that workers saw belong to their edge, the newest few of it", () => {
  const book = new EdgeBook();
  const world = worldOf();
  const seen = { source: "10.0.0.1", target: "10.0.1.9", port: 80 };
  const get = (path: string) => ({ method: "GET", host: "pay", path });
  book.addRequests({ ...seen, requests: [get("/a"), get("/b")], hasMore: false }, world, 1_000);
  book.add([flow("10.0.0.1", "10.0.1.9")], world, 2_000);
  book.addRequests({ ...seen, requests: [get("/a")], hasMore: false }, world, 3_000);
  const elsewhere = { ...seen, source: "9.9.9.9", requests: [get("/c")], hasMore: false };
  book.addRequests(elsewhere, world, 3_000);
  const report = book.report("node-1");
  assert.deepEqual(parseEdgeReport(JSON.parse(JSON.stringify(report))), report);
  const [edge, ...rest] = report.edges;
  assert.deepEqual(rest, []);
  assert.deepEqual([edge?.count, edge?.lastMs, edge?.hasMoreRequests], [1, 3_000, undefined]);
  assert.deepEqual(
    edge?.requests?.map(({ path }) => path),
    ["/b", "/a"],
  );
  const many = Array.from({ length: 30 }, (_, i) => get(`/${i}`));
  book.addRequests({ ...seen, requests: many, hasMore: false }, world, 4_000);
  const [full] = book.report("node-1").edges;
  assert.deepEqual([full?.requests?.length, full?.hasMoreRequests], [20, true]);
  assert.equal(full?.requests?.at(-1)?.path, "/29");
});
