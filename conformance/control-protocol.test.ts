// Lines between a run and its agents are parsed on both sides, whatever comes.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import {
  maximumTries,
  parseControlReply,
  parseControlRequest,
  parseJsonLine,
} from "./control-protocol.ts";

const probe = { protocol: "tcp", address: "10.0.0.1", port: 80, sourcePort: 4000, timeoutMs: 5 };

test("a request survives the line", () => {
  const request = { call: "probe", probe, count: 2, parallel: 1 };
  assert.deepEqual(parseControlRequest(parseJsonLine(JSON.stringify(request))), request);
  assert.deepEqual(parseControlRequest({ call: "hello", more: 1 }), { call: "hello" });
  assert.deepEqual(parseControlRequest({ call: "set-ready", ready: false }), {
    call: "set-ready",
    ready: false,
  });
});

test("a request that makes no sense is none", () => {
  const bad: readonly unknown[] = [
    undefined,
    { call: "exec" },
    { call: "set-ready", ready: "no" },
    { call: "probe", probe, count: maximumTries + 1, parallel: 1 },
    { call: "probe", probe, count: 0, parallel: 1 },
    { call: "probe", probe: { ...probe, port: 65_536 }, count: 1, parallel: 1 },
    { call: "probe", probe: { ...probe, address: "example.com" }, count: 1, parallel: 1 },
    { call: "probe", probe: { ...probe, protocol: "sctp" }, count: 1, parallel: 1 },
  ];
  for (const value of bad) assert.equal(parseControlRequest(value), undefined);
});

test("every kind of result survives the line", () => {
  const echo = { pod: "a", node: "n", client: "10.0.0.9", port: 80 };
  const results = [
    { kind: "reply", text: JSON.stringify(echo), echo },
    { kind: "reply", text: "hi", status: 200 },
    { kind: "refused" },
    { kind: "closed" },
    { kind: "timeout", phase: "connect" },
    { kind: "reset", phase: "answer" },
    { kind: "unreachable", code: "EHOSTUNREACH" },
    { kind: "failed", code: "EADDRINUSE" },
  ];
  const reply = { call: "probe", results };
  assert.deepEqual(parseControlReply(parseJsonLine(JSON.stringify(reply))), reply);
});

test("nothing that a peer can send makes a parser throw", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      parseControlRequest(value);
      parseControlReply(value);
      parseControlReply({ call: "probe", results: [value] });
      parseControlRequest({ call: "probe", probe: value, count: 1, parallel: 1 });
    }),
  );
  fc.assert(fc.property(fc.string(), (line) => void parseJsonLine(line)));
});
