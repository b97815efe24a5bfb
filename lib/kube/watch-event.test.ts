// One line of a watch at a time, good or bad.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeWatchEvent, type WatchEvent } from "./watch-event.ts";

const OBJECT = { metadata: { resourceVersion: "7" } };

const CASES: readonly (readonly [string, unknown, Partial<WatchEvent>])[] = [
  ["ADDED", OBJECT, { kind: "put", resourceVersion: "7" }],
  ["MODIFIED", OBJECT, { kind: "put", resourceVersion: "7" }],
  ["DELETED", OBJECT, { kind: "delete", resourceVersion: "7" }],
  ["BOOKMARK", OBJECT, { kind: "bookmark", resourceVersion: "7", initialEventsEnd: false }],
  [
    "BOOKMARK",
    { metadata: { resourceVersion: "8", annotations: { "k8s.io/initial-events-end": "true" } } },
    { kind: "bookmark", resourceVersion: "8", initialEventsEnd: true },
  ],
  ["SPARKLE", OBJECT, { kind: "unknown", type: "SPARKLE" }],
  [
    "ERROR",
    { code: 410, reason: "Expired", message: "too old", details: { retryAfterSeconds: 2 } },
    { kind: "error", code: 410, reason: "Expired", message: "too old", retryAfterMs: 2_000 },
  ],
];
for (const [type, object, want] of CASES) {
  test(`an event of type ${type} is ${want.kind}`, () => {
    const { object: _, ...event }: WatchEvent & { object?: unknown } = decodeWatchEvent(
      JSON.stringify({ type, object }),
    );
    assert.deepEqual(event, want);
  });
}

for (const line of ["", "{", "null", "[]", "7", '{"type":7}', '{"type":"ADDED"}']) {
  test(`a line ${JSON.stringify(line)} is garbage`, () => {
    assert.equal(decodeWatchEvent(line).kind, "garbage");
  });
}

test("every line, and every truncation of an event, is decoded to something", () => {
  const event = JSON.stringify({ type: "MODIFIED", object: OBJECT });
  for (let end = 0; end < event.length; end++) {
    assert.equal(decodeWatchEvent(event.slice(0, end)).kind, "garbage");
  }
  fc.assert(fc.property(fc.json(), (line) => decodeWatchEvent(line).kind !== undefined));
  fc.assert(fc.property(fc.string(), (line) => decodeWatchEvent(line).kind === "garbage"));
});
