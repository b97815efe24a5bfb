// What an EndpointSlice means to a proxy, and which of its endpoints are refused.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type EndpointSlice, parseEndpointSlice, SERVICE_NAME_LABEL } from "./endpoint-slice.ts";
import { type JsonRecord, MAX_PROBLEMS_PER_OBJECT } from "./fields.ts";
import { makeIntern } from "./intern.ts";
import type { Parsed } from "./parsed.ts";

function parse(fields: JsonRecord): Parsed<EndpointSlice> {
  const metadata = {
    namespace: "shop",
    name: "web-a",
    uid: "u",
    resourceVersion: "7",
    labels: { [SERVICE_NAME_LABEL]: "web" },
  };
  return parseEndpointSlice({ metadata, addressType: "IPv4", ...fields });
}

function read(fields: JsonRecord): EndpointSlice {
  const parsed = parse(fields);
  assert.ok(parsed.kind === "ok", parsed.kind);
  return parsed.object;
}

test("a slice with everything set", () => {
  const metadata = {
    namespace: "shop",
    name: "web-a",
    labels: { [SERVICE_NAME_LABEL]: "web" },
    annotations: { "endpoints.kubernetes.io/last-change-trigger-time": "1970-01-01T00:00:02Z" },
  };
  const endpoint = {
    addresses: ["10.1.0.7", "10.1.0.8"],
    conditions: { ready: false, serving: true, terminating: true },
    nodeName: "node-a",
    zone: "zone-a",
    hints: { forZones: [{ name: "zone-a" }], forNodes: [{ name: "node-a" }] },
  };
  const ports = [{ name: "http", protocol: "TCP", port: 8080 }];
  assert.deepEqual(read({ metadata, ports, endpoints: [endpoint] }), {
    kind: "EndpointSlice",
    namespace: "shop",
    name: "web-a",
    uid: "",
    resourceVersion: "",
    serviceName: "web",
    addressType: "IPv4",
    ports: [{ name: "http", protocol: "TCP", port: 8080 }],
    endpoints: [
      {
        address: "10.1.0.7",
        ready: false,
        serving: true,
        terminating: true,
        nodeName: "node-a",
        zone: "zone-a",
        hintedZones: ["zone-a"],
        hintedNodes: ["node-a"],
      },
    ],
    lastChangeTriggerMs: 2_000,
  });
});

test("conditions that are null mean ready, serving, staying", () => {
  const conditions = { ready: null, serving: null, terminating: null };
  assert.deepEqual(read({ endpoints: [{ addresses: ["10.1.0.7"], conditions }] }).endpoints, [
    { address: "10.1.0.7", ready: true, serving: true, terminating: false },
  ]);
});

test("slices of no Service and slices of names are ignored", () => {
  const noLabel = parse({ metadata: { namespace: "shop", name: "web-a" } });
  assert.deepEqual(noLabel, { kind: "ignored", key: "shop/web-a", why: "no-service-name" });
  assert.deepEqual(parse({ addressType: "FQDN" }), {
    kind: "ignored",
    key: "shop/web-a",
    why: "fqdn",
  });
});

test("a slice of an unknown address type cannot be read", () => {
  assert.equal(parse({ addressType: "IPX" }).kind, "invalid");
});

test("T14: endpoints at loopback, link-local, multicast or nowhere are refused", () => {
  const bad = ["127.0.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0", "255.255.255.255"];
  const addresses = [...bad, "10.1.0.7"].map((address) => ({ addresses: [address] }));
  const parsed = parse({ endpoints: addresses });
  assert.ok(parsed.kind === "ok");
  assert.deepEqual(
    parsed.object.endpoints.map(({ address }) => address),
    ["10.1.0.7"],
  );
  assert.equal(parsed.problems.length, bad.length);
  const six = ["::1", "fe80::1", "ff02::1", "::"].map((address) => ({ addresses: [address] }));
  assert.deepEqual(read({ addressType: "IPv6", endpoints: six }).endpoints, []);
});

test("an address of the other family is refused", () => {
  const parsed = parse({ endpoints: [{ addresses: ["fd00::1"] }] });
  assert.ok(parsed.kind === "ok" && parsed.object.endpoints.length === 0);
  assert.equal(parsed.problems[0]?.field, "endpoints[0].addresses[0]");
});

test("ports without a number go silently, unreadable ones with a problem", () => {
  const parsed = parse({ ports: [{ name: "a" }, { port: 0 }, { port: 70_000 }, { port: 53 }] });
  assert.ok(parsed.kind === "ok");
  assert.deepEqual(parsed.object.ports, [{ name: "", protocol: "TCP", port: 53 }]);
  assert.deepEqual(
    parsed.problems.map(({ field }) => field),
    ["ports[2]"],
  );
});

test("a slice full of bad endpoints makes a bounded number of problems", () => {
  const endpoints = Array.from({ length: 1_000 }, () => ({ addresses: ["127.0.0.1"] }));
  const parsed = parse({ endpoints });
  assert.ok(parsed.kind === "ok");
  assert.equal(parsed.problems.length, MAX_PROBLEMS_PER_OBJECT + 1);
  assert.match(parsed.problems.at(-1)?.message ?? "", /^984 more/);
});

test("repeated names are interned", () => {
  const seen: string[] = [];
  const intern = makeIntern();
  const metadata = { name: "a", labels: { [SERVICE_NAME_LABEL]: "web" } };
  const endpoints = [{ addresses: ["10.1.0.7"], nodeName: "node-a", zone: "zone-a" }];
  parseEndpointSlice({ metadata, addressType: "IPv4", endpoints }, (text) => {
    seen.push(text);
    return intern(text);
  });
  assert.deepEqual(seen, ["default", "web", "node-a", "zone-a"]);
});
