import assert from "node:assert/strict";
import { test } from "node:test";
import type { TappedRequest } from "../model/admin-protocol.ts";
import { sampleRecord } from "../model/sample-record.ts";
import { RequestTaps } from "./access-log-tap.ts";

test("each watcher sees what its filter matches, clean, until it is closed", () => {
  const seen: (readonly [number, TappedRequest])[] = [];
  const taps = new RequestTaps((id, tapped) => seen.push([id, tapped]));
  assert.equal(taps.active, false);
  taps.open(1, { status: "5xx" });
  taps.open(2, {});
  const headers = ["cookie", "a=1", "accept", "*/*"];
  taps.offer(sampleRecord({ path: "/x?token=1" }), headers, 0);
  taps.close(2);
  taps.offer(sampleRecord({ status: 502 }), headers, 0);
  assert.deepEqual(
    seen.map(([id, { record }]) => [id, record.status, record.path]),
    [
      [2, 200, "/x"],
      [1, 502, "/cart"],
    ],
  );
  assert.deepEqual(seen[0]?.[1].headers, { cookie: "[redacted]", accept: "*/*" });
});

test("a flood is thinned to a rate, and the rest is counted", () => {
  const seen: TappedRequest[] = [];
  const taps = new RequestTaps((_, tapped) => seen.push(tapped));
  taps.open(1, {});
  for (let i = 0; i < 5_000; i++) taps.offer(sampleRecord(), [], 1_000);
  assert.equal(seen.length, 100);
  taps.offer(sampleRecord(), [], 2_000);
  assert.equal(seen.at(-1)?.lost, 4_900);
});
