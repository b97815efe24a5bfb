import assert from "node:assert/strict";
import { test } from "node:test";
import { Circuit } from "./circuit-limits.ts";

test("beyond a limit nothing is taken until something is given back; each has its own", () => {
  const circuit = new Circuit({ connections: 2, pending: 0, requests: 1 });
  assert.deepEqual(
    [1, 2, 3].map(() => circuit.tryTake("connections")),
    [true, true, false],
  );
  assert.equal(circuit.tryTake("pending"), false);
  assert.equal(circuit.tryTake("requests"), true);
  circuit.release("connections");
  assert.equal(circuit.tryTake("connections"), true);
  assert.equal(circuit.taken("connections"), 2);
});
