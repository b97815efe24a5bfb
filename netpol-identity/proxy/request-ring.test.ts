import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestRing } from "./request-ring.ts";

const GET = { method: "GET", host: "pay", path: "/a" };

test("a request is told once for each pair, until it was taken", () => {
  const ring = new RequestRing();
  for (const client of ["10.0.0.1", "10.0.0.2", "10.0.0.1"]) ring.add(client, "10.0.1.9:80", GET);
  const told = { endpoint: "10.0.1.9:80", requests: [GET], hasMore: false };
  assert.deepEqual(ring.take(), [
    { client: "10.0.0.1", ...told },
    { client: "10.0.0.2", ...told },
  ]);
  assert.deepEqual(ring.take(), []);
});

test("a flood of paths crowds out neither other pairs nor memory", () => {
  const ring = new RequestRing();
  for (let i = 0; i < 10_000; i++) ring.add("10.0.0.1", "a:1", { ...GET, path: `/${i}` });
  ring.add("10.0.0.2", "a:1", GET);
  ring.add("10.0.0.2", "a:1", { ...GET, path: `/${"x".repeat(1_000)}` });
  assert.deepEqual(
    ring.take().map(({ client, requests, hasMore }) => [client, requests.length, hasMore]),
    [
      ["10.0.0.1", 20, true],
      ["10.0.0.2", 1, true],
    ],
  );
  for (let i = 0; i < 10_000; i++) ring.add(`10.0.0.${i}`, "a:1", GET);
  assert.equal(ring.take().length, 500);
});
