import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../lib/kube/api/pod.ts";
import { makeClientReader } from "./pod-clients.ts";

const pod = (name: string, ...addresses: string[]): Pod => ({
  kind: "Pod",
  namespace: "shop",
  name,
  uid: name,
  resourceVersion: "1",
  nodeName: "node-1",
  serviceAccount: "default",
  addresses,
  labels: {},
  hostNetwork: false,
  isOver: false,
  ports: [],
  ambientRedirection: false,
});

test("pods of this node are known by each of their addresses, others are not", () => {
  const elsewhere = { ...pod("c", "10.0.1.1"), nodeName: "node-2" };
  const clients = makeClientReader("node-1")([pod("a", "10.0.0.1", "fd00::1"), elsewhere]);
  assert.deepEqual([...clients.keys()], ["10.0.0.1", "fd00::1"]);
  assert.equal(clients.get("10.0.0.1")?.pod, "a");
});

test("an address that several pods claim belongs to nobody", () => {
  const claimed = ["a", "b", "c"].map((name) => pod(name, "10.0.0.1"));
  assert.equal(makeClientReader("node-1")(claimed).size, 0);
});

test("an unchanged pod gives the same value again", () => {
  const read = makeClientReader("node-1");
  const pods = [pod("a", "10.0.0.1")];
  assert.equal(read(pods).get("10.0.0.1"), read(pods).get("10.0.0.1"));
});
