import assert from "node:assert/strict";
import { test } from "node:test";
import type { FrontendSide } from "../model/proxy-plan.ts";
import { type Client, clientOf, sideFor, sourceAddress } from "./client.ts";
import { ProxyTables } from "./proxy-tables.ts";

const POD = "10.1.0.7";
const HOST = "192.0.2.11";

function tables(): ProxyTables {
  const made = new ProxyTables(Math.random);
  const node = { nodeName: "node-1", hostAddresses: [HOST] };
  const pod = { namespace: "shop", pod: "cart-0", serviceAccount: "cart" };
  made.apply({ node, frontends: [], ports: [], groups: [], clients: [[POD, pod]] }, 0);
  return made;
}

function client(address: string, isInside: boolean): Client {
  return clientOf(tables(), { address, port: 4_000 }, isInside);
}

test("who a client is comes from its address and the door it came in by", () => {
  assert.equal(client(POD, true).source, "shop");
  assert.equal(client("10.1.0.99", true).source, "(unknown)");
  assert.equal(client(HOST, true).source, "(host)");
  assert.equal(client("203.0.113.9", false).source, "(outside)");
});

test("a stranger with a pod's address that came in from outside is no pod", () => {
  assert.equal(client(POD, false).kind, "outside");
  assert.equal(client(POD, false).namespace, undefined);
});

test("clients from outside are served by the outer side, all others by the inner one", () => {
  const side = (group: string): FrontendSide => ({ group, source: "node" });
  const frontend = { port: "p", inside: side("in"), outside: side("out") };
  assert.equal(sideFor(frontend, client(POD, true)).group, "in");
  assert.equal(sideFor(frontend, client(HOST, true)).group, "in");
  assert.equal(sideFor(frontend, client("203.0.113.9", false)).group, "out");
});

test("an endpoint sees the client's address only where its replies come back this way", () => {
  const here = { address: "10.1.0.8", local: true };
  const there = { address: "10.2.0.8", local: false };
  const seen = (source: FrontendSide["source"], from: Client, to: typeof here) =>
    sourceAddress(from, { group: "g", source }, to);
  const [pod, outside, host] = [
    client(POD, true),
    client("203.0.113.9", false),
    client(HOST, true),
  ];
  assert.equal(seen("client", pod, there), POD);
  assert.equal(seen("client", outside, here), "203.0.113.9");
  assert.equal(seen("client", outside, there), undefined);
  assert.equal(seen("client-always", outside, there), "203.0.113.9");
  assert.equal(seen("node", pod, here), undefined);
  assert.equal(seen("client", host, here), undefined);
});

test("an endpoint that calls itself sees the node: else it would talk to itself", () => {
  const itself = { address: POD, local: true };
  for (const source of ["client", "client-always"] as const) {
    assert.equal(sourceAddress(client(POD, true), { group: "g", source }, itself), undefined);
  }
});
