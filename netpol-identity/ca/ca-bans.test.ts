import assert from "node:assert/strict";
import { test } from "node:test";
import { FOREVER_MS, isBanned, parseBans } from "./ca-bans.ts";

const SINCE = "2026-11-01T00:00:00Z";
const UNTIL = "2026-11-02T00:00:00Z";
const untilMs = Date.parse(UNTIL);

test("a ban stands until its entry says otherwise; what is no time bans forever", () => {
  const data = { c: SINCE, b: `${SINCE}/${UNTIL}`, a: "compromised", d: `${SINCE}/soon`, e: 5 };
  assert.deepEqual(parseBans({ data }), [
    { node: "a", untilMs: FOREVER_MS },
    { node: "b", untilMs },
    { node: "c", untilMs: FOREVER_MS },
    { node: "d", untilMs: FOREVER_MS },
    { node: "e", untilMs: FOREVER_MS },
  ]);
});

test("without a ConfigMap nobody is banned", () => {
  assert.deepEqual(parseBans(undefined), []);
});

test("a node whose ban has ended may ask again", () => {
  const bans = [{ node: "b", untilMs }];
  assert.ok(isBanned(bans, "b", untilMs - 1));
  assert.ok(!isBanned(bans, "b", untilMs));
  assert.ok(!isBanned(bans, "other", 0));
});
