import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectionCounter } from "./connection-limits.ts";

const LIMITS = {
  maxConnections: 3,
  maxConnectionsPerClient: 2,
  connectTimeoutMs: 1,
  idleTimeoutMs: 1,
};

test("a client has its own limit, and all together have one", () => {
  const counter = new ConnectionCounter();
  const taken = ["a", "a", "a", "b", "b"].map((client) => counter.tryTake(client, LIMITS));
  assert.deepEqual(taken, [true, true, false, true, false]);
  assert.equal(counter.open, 3);
});

test("what is released may be taken again; nothing is released twice", () => {
  const counter = new ConnectionCounter();
  assert(counter.tryTake("a", LIMITS));
  counter.release("a");
  counter.release("a");
  counter.release("stranger");
  assert.equal(counter.open, 0);
  assert(counter.tryTake("a", LIMITS));
  assert(counter.tryTake("a", LIMITS));
  assert.equal(counter.tryTake("a", LIMITS), false);
});
