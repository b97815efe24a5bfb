import assert from "node:assert/strict";
import { test } from "node:test";
import type { PortKind } from "../model/proxy-plan.ts";
import { isUnknownLane, type LaneFacts, laneOf } from "./lane.ts";

const plain: LaneFacts = {
  protocol: "TCP",
  proxyMode: "auto",
  serviceLabel: undefined,
  namespaceLabel: undefined,
  routes: undefined,
  hasIdentities: false,
  hasUdpRoute: false,
};
const http: PortKind = { kind: "http", routes: { rules: [] } };
const tcp: PortKind = { kind: "tcp", backends: [] };

const CASES: readonly (readonly [string, Partial<LaneFacts>, lane: string, rule: RegExp])[] = [
  ["nothing asks for a proxy", {}, "kernel", /^the default/],
  ["the node never uses one", { proxyMode: "kernel" }, "kernel", /^--proxy-mode=kernel$/],
  ["the node always uses one", { proxyMode: "userspace" }, "l4", /^--proxy-mode=userspace$/],
  ["UDP stays in the kernel", { protocol: "UDP", proxyMode: "userspace" }, "kernel", /^UDP/],
  [
    "a UDP route does, too",
    { protocol: "UDP", hasUdpRoute: true },
    "kernel",
    /^a UDPRoute names it/,
  ],
  ["an HTTP route needs L7", { routes: http }, "l7", /names it$/],
  ["a TCP route needs L4", { routes: tcp }, "l4", /^a TCPRoute names it$/],
  ["a route is kept in mode kernel", { routes: http, proxyMode: "kernel" }, "l7", /names it$/],
  ["the Service's label", { serviceLabel: "l4" }, "l4", /^label innermesh.io\/lane=l4$/],
  ["the namespace's label", { namespaceLabel: "l7" }, "l7", /^the namespace's label/],
  ["the nearer label", { serviceLabel: "kernel", namespaceLabel: "l7" }, "kernel", /^label/],
  ["auto asks the next", { serviceLabel: "auto", namespaceLabel: "l4" }, "l4", /^the namespace/],
  [
    "label kernel leaves routes behind",
    { serviceLabel: "kernel", routes: http },
    "kernel",
    /^label/,
  ],
  ["l4 cannot keep an HTTP route", { serviceLabel: "l4", routes: http }, "l7", /and a route$/],
  ["l7 must not read a TCP route", { serviceLabel: "l7", routes: tcp }, "l4", /and a route$/],
];

for (const [name, facts, lane, rule] of CASES) {
  test(`lane: ${name}`, () => {
    const choice = laneOf({ ...plain, ...facts });
    assert.equal(choice.lane, lane);
    assert.match(choice.rule, rule);
  });
}

test("a label that is no lane is found out", () => {
  assert.equal(isUnknownLane("fast"), true);
  for (const value of [undefined, "auto", "kernel", "l4", "l7"]) {
    assert.equal(isUnknownLane(value), false);
  }
});

test("identities take TCP out of the kernel, whatever a label says, and leave UDP there", () => {
  const hasIdentities = true;
  assert.equal(laneOf({ ...plain, hasIdentities }).lane, "l4");
  assert.equal(laneOf({ ...plain, hasIdentities, serviceLabel: "kernel" }).lane, "l4");
  assert.equal(laneOf({ ...plain, hasIdentities, serviceLabel: "l7" }).lane, "l7");
  assert.equal(laneOf({ ...plain, hasIdentities, protocol: "UDP" }).lane, "kernel");
});
