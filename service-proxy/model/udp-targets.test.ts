import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoint } from "./endpoint.ts";
import {
  gatherUdpTargets,
  noUdpTargets,
  retireTargets,
  sameUdpTargets,
  type UdpServicePort,
} from "./udp-targets.ts";

const ready: Endpoint = {
  address: "10.244.0.5",
  port: 5_353,
  ready: true,
  serving: true,
  terminating: false,
  local: false,
};

const dns: UdpServicePort = {
  port: 53,
  addresses: ["10.96.0.10", "192.0.2.1"],
  nodePort: 30_053,
  endpoints: [ready],
};

test("every address and the NodePort of a port lead to its endpoints", () => {
  const targets = gatherUdpTargets([dns], ["10.0.0.1"]);
  const endpoints = new Set(["10.244.0.5 . 5353"]);
  assert.deepEqual(targets, {
    addresses: new Map([
      ["10.96.0.10 . 53", endpoints],
      ["192.0.2.1 . 53", endpoints],
    ]),
    nodePorts: new Map([[30_053, endpoints]]),
    nodePortAddresses: new Set(["10.0.0.1"]),
  });
});

test("an endpoint may answer while it terminates, and when it is ready without serving", () => {
  const endpoints = [
    { ...ready, address: "10.244.0.6", ready: false, terminating: true },
    { ...ready, address: "10.244.0.7", serving: false },
    { ...ready, address: "10.244.0.8", ready: false, serving: false },
  ];
  const targets = gatherUdpTargets([{ ...dns, endpoints }], []);
  assert.deepEqual(
    targets.nodePorts.get(30_053),
    new Set(["10.244.0.6 . 5353", "10.244.0.7 . 5353"]),
  );
});

test("a port without endpoints or NodePort is still a target", () => {
  const targets = gatherUdpTargets([{ ...dns, nodePort: 0, endpoints: [] }], []);
  assert.deepEqual(targets.addresses.get("10.96.0.10 . 53"), new Set());
  assert.equal(targets.nodePorts.size, 0);
});

test("both address families of a Service share its NodePort", () => {
  const dns6 = {
    ...dns,
    addresses: ["fd00:96::a"],
    endpoints: [{ ...ready, address: "fd00:244::5" }],
  };
  const targets = gatherUdpTargets([dns, dns6], []);
  assert.deepEqual(
    targets.nodePorts.get(30_053),
    new Set(["10.244.0.5 . 5353", "fd00:244::5 . 5353"]),
  );
});

test("targets are the same whoever built them, and differ by one endpoint", () => {
  const one = gatherUdpTargets([dns], ["10.0.0.1"]);
  assert.ok(sameUdpTargets(one, gatherUdpTargets([dns], ["10.0.0.1"])));
  assert.ok(!sameUdpTargets(one, gatherUdpTargets([dns], ["10.0.0.2"])));
  assert.ok(!sameUdpTargets(one, gatherUdpTargets([{ ...dns, nodePort: 0 }], ["10.0.0.1"])));
  assert.ok(!sameUdpTargets(one, gatherUdpTargets([{ ...dns, endpoints: [] }], ["10.0.0.1"])));
});

test("what is no longer wanted is retired until it is wanted again", () => {
  const served = gatherUdpTargets([dns], []);
  const retired = retireTargets(served, noUdpTargets);
  assert.deepEqual(retired, {
    addresses: new Set(["10.96.0.10 . 53", "192.0.2.1 . 53"]),
    nodePorts: new Set([30_053]),
  });
  assert.deepEqual(retireTargets(noUdpTargets, noUdpTargets, retired), retired);
  assert.deepEqual(retireTargets(noUdpTargets, served, retired), {
    addresses: new Set(),
    nodePorts: new Set(),
  });
});
