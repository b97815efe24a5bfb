import assert from "node:assert/strict";
import { test } from "node:test";
import { Deadlines } from "./deadlines.ts";

test("who is late is told, as often as it stays late; who moved or left is not", () => {
  const deadlines = new Deadlines();
  const told: string[] = [];
  const one = (name: string, deadlineMs: number) => {
    const expiring = { deadlineMs, onDeadline: () => void told.push(name) };
    deadlines.add(expiring);
    return expiring;
  };
  const [first, second] = [one("first", 10), one("second", 10)];
  one("never", Number.POSITIVE_INFINITY);
  const leaver = { deadlineMs: 10, onDeadline: () => deadlines.remove(leaver) };
  deadlines.add(leaver);
  deadlines.sweep(9);
  assert.deepEqual(told, []);
  second.deadlineMs = 20;
  deadlines.sweep(10);
  deadlines.remove(first);
  deadlines.sweep(20);
  assert.deepEqual(told, ["first", "second"]);
  assert.equal(deadlines.size, 2);
});
