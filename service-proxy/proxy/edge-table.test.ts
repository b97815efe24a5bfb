import assert from "node:assert/strict";
import { test } from "node:test";
import { EDGE_COLUMNS, type EdgeDelta, OTHER } from "../model/edge.ts";
import { EdgeTable } from "./edge-table.ts";

function columns({ counts }: EdgeDelta): Record<string, number> {
  const named: Record<string, number> = {};
  for (let i = 0; i < counts.length; i += 2) {
    named[EDGE_COLUMNS[counts[i] ?? -1] ?? "?"] = counts[i + 1] ?? 0;
  }
  return named;
}

test("a drain tells what happened since the last, and nothing twice", () => {
  const table = new EdgeTable("http");
  const slot = table.slot("shop", "default/web:80", "HTTPRoute shop/a", "10.0.0.1:80", 0);
  table.started(slot);
  table.started(slot);
  table.finished(slot, "2xx", 3);
  table.transferred(slot, 100, 2_000);
  table.retried(slot);
  table.ejected(slot);
  const [delta, ...more] = table.drain(1_000);
  assert.ok(delta !== undefined && more.length === 0);
  assert.deepEqual(columns(delta), {
    "2xx": 1,
    retries: 1,
    ejections: 1,
    receivedBytes: 100,
    sentBytes: 2_000,
    latencyMs: 3,
  });
  assert.deepEqual(
    [delta.layer, delta.source, delta.service, delta.route, delta.endpoint, delta.inFlight],
    ["http", "shop", "default/web:80", "HTTPRoute shop/a", "10.0.0.1:80", 1],
  );
  assert.equal(delta.latencies[1], 1);
  assert.deepEqual(table.drain(2_000), []);
  table.finished(slot, "cancelled", Number.NaN);
  const [last] = table.drain(3_000);
  assert.deepEqual(last?.counts, [EDGE_COLUMNS.indexOf("cancelled"), 1]);
  assert.deepEqual([last?.inFlight, last?.latencies], [-1, []]);
});

test("the same names have the same slot, others another", () => {
  const table = new EdgeTable("tcp");
  const slot = table.slot("a", "b", "c", "d", 0);
  assert.equal(table.slot("a", "b", "c", "d", 9), slot);
  const others = [
    table.slot("x", "b", "c", "d", 0),
    table.slot("a", "x", "c", "d", 0),
    table.slot("a", "b", "x", "d", 0),
    table.slot("a", "b", "c", "x", 0),
  ];
  assert.equal(new Set([slot, ...others]).size, 5);
});

test("beyond the limit all edges count as one, and no request is lost", () => {
  const table = new EdgeTable("http", 100);
  for (let i = 0; i < 100_000; i++) {
    const slot = table.slot("shop", "default/web:80", "", `10.0.${i >> 8}.${i & 255}:80`, 0);
    table.started(slot);
    table.finished(slot, "2xx", 1);
  }
  const deltas = table.drain(1);
  assert.equal(deltas.length, 100);
  assert.equal(
    deltas.reduce((sum, delta) => sum + (columns(delta)["2xx"] ?? 0), 0),
    100_000,
  );
  assert.equal(
    columns(deltas.find(({ source }) => source === OTHER) ?? assert.fail())["2xx"],
    99_901,
  );
});

test("an idle edge gives its slot to another; one with something under way keeps it", () => {
  const table = new EdgeTable("http", 3);
  const idle = table.slot("a", "s", "", "e", 0);
  const busy = table.slot("b", "s", "", "e", 0);
  table.started(idle);
  table.finished(idle, "5xx", 1);
  table.started(busy);
  assert.equal(table.drain(1_000).length, 2);
  assert.equal(table.slot("c", "s", "", "e", 1_000), 0);
  assert.deepEqual(table.drain(601_000), []);
  const fresh = table.slot("c", "s", "", "e", 601_000);
  assert.equal(fresh, idle);
  assert.equal(table.slot("b", "s", "", "e", 601_000), busy);
  table.started(fresh);
  const [delta] = table.drain(602_000);
  assert.deepEqual([delta?.source, delta?.counts, delta?.inFlight], ["c", [], 1]);
});
