import assert from "node:assert/strict";
import { test } from "node:test";
import { HostCarriers } from "./host-carriers.ts";

const AGENT = "spiffe://cluster.local/ns/kube-system/sa/innermesh-node";
const pods = new Set(["10.0.1.1"]);

test("a node's addresses are among those that prove an identity if its agent has that", () => {
  const host = new HostCarriers(AGENT, ["192.0.2.1", "2001:db8::1"]);
  const joined = host.join(pods, new Set([AGENT]));
  assert.deepEqual([...joined], ["10.0.1.1", "192.0.2.1", "2001:db8::1"]);
  assert.equal(host.join(pods, new Set([AGENT])), joined, "no other object for the same");
  assert.equal(host.join(pods, new Set(["spiffe://cluster.local/ns/shop/sa/web"])), pods);
  assert.equal(host.join(pods, undefined), pods);
});

test("where nobody signs for a node it proves nothing", () => {
  assert.equal(new HostCarriers(undefined, ["192.0.2.1"]).join(pods, new Set([AGENT])), pods);
});
