// What a Node and a ServiceCIDR mean to a proxy.

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNode } from "./node.ts";
import { parseServiceCidr } from "./service-cidr.ts";

test("a Node's addresses, prefixes, taints and end are read", () => {
  const parsed = parseNode({
    metadata: { name: "node-a", labels: { zone: "a" }, deletionTimestamp: "2026-01-01T00:00:00Z" },
    spec: { podCIDRs: ["10.1.0.0/24", "fd00:1::/64"], taints: [{ key: "gone" }, {}] },
    status: {
      addresses: [
        { type: "Hostname", address: "node-a" },
        { type: "InternalIP", address: "192.0.2.1" },
        { type: "ExternalIP", address: "FD00::1" },
      ],
    },
  });
  assert.ok(parsed.kind === "ok");
  assert.deepEqual(parsed.object, {
    kind: "Node",
    name: "node-a",
    uid: "",
    resourceVersion: "",
    labels: { zone: "a" },
    addresses: [
      { type: "InternalIP", address: "192.0.2.1" },
      { type: "ExternalIP", address: "fd00::1" },
    ],
    podCIDRs: ["10.1.0.0/24", "fd00:1::/64"],
    taintKeys: ["gone"],
    deleting: true,
  });
  assert.deepEqual(parsed.problems, []);
});

test("a Node with the one older podCIDR field", () => {
  const parsed = parseNode({ metadata: { name: "node-a" }, spec: { podCIDR: "10.1.0.0/24" } });
  assert.ok(parsed.kind === "ok");
  assert.deepEqual(parsed.object.podCIDRs, ["10.1.0.0/24"]);
  assert.equal(parsed.object.deleting, false);
});

test("bad addresses and prefixes of a Node are dropped with a problem", () => {
  const parsed = parseNode({
    metadata: { name: "node-a" },
    spec: { podCIDRs: ["10.1.0.0"] },
    status: { addresses: [{ type: "InternalIP", address: "here" }] },
  });
  assert.ok(parsed.kind === "ok");
  assert.deepEqual([parsed.object.addresses, parsed.object.podCIDRs], [[], []]);
  assert.deepEqual(
    parsed.problems.map(({ field }) => field),
    ["status.addresses[0].address", "spec.podCIDRs[0]"],
  );
});

test("a ServiceCIDR's prefixes are canonical, and a bad one is dropped", () => {
  const spec = { cidrs: ["10.96.1.1/16", "fd00::/300"] };
  const parsed = parseServiceCidr({ metadata: { name: "kubernetes", uid: "u" }, spec });
  assert.ok(parsed.kind === "ok");
  assert.deepEqual(parsed.object.cidrs, ["10.96.0.0/16"]);
  assert.equal(parsed.problems[0]?.field, "spec.cidrs[1]");
});
