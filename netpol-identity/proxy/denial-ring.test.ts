import assert from "node:assert/strict";
import { test } from "node:test";
import { DenialRing } from "./denial-ring.ts";

const DENIAL = {
  client: "10.0.0.1",
  endpoint: { address: "10.0.0.9", port: 80 },
  service: "shop/pay:80",
  rule: "no rule of NetworkPolicy shop/closed matches",
};

test("like denials are told once with their number, and only once", () => {
  const ring = new DenialRing();
  for (let i = 0; i < 3; i++) ring.add(DENIAL);
  ring.add({ ...DENIAL, method: "GET", path: "/" });
  assert.deepEqual(ring.take(), [
    { ...DENIAL, times: 3 },
    { ...DENIAL, method: "GET", path: "/", times: 1 },
  ]);
  assert.deepEqual(ring.take(), []);
});

test("of a flood the newest are told, and of a path its beginning", () => {
  const ring = new DenialRing();
  for (let i = 0; i < 1_000; i++) ring.add({ ...DENIAL, path: `/${i}/${"x".repeat(10_000)}` });
  const told = ring.take();
  assert.equal(told.length, 50);
  assert.match(told.at(-1)?.path ?? "", /^\/999\//);
  assert.ok(JSON.stringify(told).length < 50_000);
});

test("a client that is denied all the time hides no other one", () => {
  const ring = new DenialRing();
  ring.add({ ...DENIAL, client: "10.0.0.2" });
  for (let i = 0; i < 1_000; i++) ring.add({ ...DENIAL, path: `/${i}` });
  const told = ring.take();
  assert.deepEqual([told.length, told[0]?.client], [50, "10.0.0.2"]);
});
