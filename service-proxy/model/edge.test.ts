import assert from "node:assert/strict";
import { test } from "node:test";
import { EDGE_COLUMNS, resultOfGrpcStatus, resultOfStatus, SOURCES } from "./edge.ts";

test("no column stands twice, and no source can be a namespace", () => {
  assert.equal(new Set(EDGE_COLUMNS).size, EDGE_COLUMNS.length);
  for (const source of Object.values(SOURCES)) assert.doesNotMatch(source, /^[a-z0-9-]+$/);
});

test("a gRPC status counts as the HTTP status that means the same", () => {
  assert.deepEqual([0, 1, 4, 5, 7, 8, 12, 13, 14, 16, 99].map(resultOfGrpcStatus), [
    "2xx",
    "cancelled",
    "5xx",
    "4xx",
    "4xx",
    "4xx",
    "5xx",
    "5xx",
    "5xx",
    "4xx",
    "5xx",
  ]);
  assert.deepEqual([101, 204, 304, 404, 503].map(resultOfStatus), [
    "2xx",
    "2xx",
    "3xx",
    "4xx",
    "5xx",
  ]);
});
