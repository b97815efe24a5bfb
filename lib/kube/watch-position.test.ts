// When a reflector believes that a server's past is the new present.

import assert from "node:assert/strict";
import { test } from "node:test";
import { REWIND_PATIENCE_MS, WatchPosition } from "./watch-position.ts";

test("the position moves on with events and never back", () => {
  const position = new WatchPosition();
  assert.equal(position.newest, undefined);
  position.listed("100");
  position.advance("120");
  position.advance("110");
  position.advance("");
  assert.equal(position.newest, "120");
});

test("events up to the list's version are echoes of it", () => {
  const position = new WatchPosition();
  position.listed("100");
  assert.deepEqual(
    ["99", "100", "101", ""].map((v) => position.isEcho(v)),
    [true, true, false, false],
  );
});

test("a server that is behind is believed only after a while without news", () => {
  const position = new WatchPosition();
  position.listed("100");
  assert.equal(position.foundBehind(0), false);
  assert.equal(position.minimumForList(REWIND_PATIENCE_MS - 1), "100");
  position.advance("101");
  assert.equal(position.foundBehind(REWIND_PATIENCE_MS), false);
  assert.equal(position.foundBehind(2 * REWIND_PATIENCE_MS), true);
  assert.equal(position.minimumForList(2 * REWIND_PATIENCE_MS), undefined);
  position.listed("5");
  assert.equal(position.minimumForList(3 * REWIND_PATIENCE_MS), "5");
});
