import assert from "node:assert/strict";
import { test } from "node:test";
import { PeakEwma } from "./peak-ewma.ts";

test("a peak counts at once and is forgotten with time", () => {
  const ewma = new PeakEwma(2, 0);
  ewma.observe(500, 10);
  assert.equal(ewma.readMs(10), 500);
  assert.ok(Math.abs(ewma.readMs(10_010) - 500 / Math.E) < 1);
  for (let nowMs = 20; nowMs < 100_000; nowMs += 10) ewma.observe(2, nowMs);
  assert.ok(Math.abs(ewma.readMs(100_000) - 2) < 0.1);
});

test("weight is by time: a thousand samples in one moment forget no more than one", () => {
  const ewma = new PeakEwma(5, 0);
  ewma.observe(100, 0);
  for (let i = 0; i < 1_000; i++) ewma.observe(1, 100);
  assert.ok(ewma.readMs(100) > 98);
});

test("the first measurement replaces the guess, also downwards", () => {
  const ewma = new PeakEwma(100, 0);
  ewma.observe(3, 0);
  assert.equal(ewma.readMs(0), 3);
});

test("NaN, infinity, negative latencies and a clock gone back poison nothing", () => {
  const ewma = new PeakEwma(5, 1_000);
  ewma.observe(Number.NaN, 1_000);
  ewma.observe(-1, 1_000);
  assert.equal(ewma.readMs(1_000), 5);
  ewma.observe(Number.POSITIVE_INFINITY, 500);
  assert.equal(ewma.readMs(1_000), 60_000);
  assert.ok(ewma.readMs(10_000_000) > 0);
});
