import assert from "node:assert/strict";
import { test } from "node:test";
import { type H1Event, nextState } from "./h1-state.ts";

/** Events, and the state that each leads to. */
type Step = readonly [H1Event, string];

function follow(steps: readonly Step[]): void {
  let state: ReturnType<typeof nextState> = "idle";
  for (const [event, expected] of steps) {
    assert(state !== undefined);
    state = nextState(state, event);
    assert.equal(state, expected, event);
  }
}

test("a chunked message goes from line to data and back, and ends behind its trailers", () => {
  follow([
    ["part", "head"],
    ["chunked", "chunk-line"],
    ["chunk", "chunk-data"],
    ["chunk-data", "chunk-end"],
    ["chunk-end", "chunk-line"],
    ["last-chunk", "trailers"],
    ["done", "idle"],
  ]);
});

test("a peer that closes inside a message has cut it short", () => {
  follow([
    ["length", "length"],
    ["eof", "refused"],
  ]);
  follow([
    ["done", "idle"],
    ["eof", "closed"],
  ]);
  follow([
    ["until-close", "until-close"],
    ["eof", "closed"],
  ]);
});

test("a switch is settled either way, or the peer goes", () => {
  follow([
    ["ask-switch", "switching"],
    ["tunnel", "tunnel"],
    ["eof", "closed"],
  ]);
  follow([
    ["ask-switch", "switching"],
    ["done", "idle"],
  ]);
});

test("nothing leads on from a refusal, and no message ends in the middle of a chunk", () => {
  assert.equal(nextState("refused", "done"), undefined);
  assert.equal(nextState("chunk-data", "done"), undefined);
  assert.equal(nextState("length", "tunnel"), undefined);
});
