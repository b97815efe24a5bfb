import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { MAX_BUCKETS, SigningLimit } from "./signing-limit.ts";

test("a bucket holds a burst, fills again with time and no further than that", async () => {
  const clock = makeFakeClock();
  const limit = new SigningLimit({ burst: 3, perSecond: 2, clock });
  const takeAll = (key: string): number => {
    let taken = 0;
    while (limit.take(key)) taken += 1;
    return taken;
  };
  assert.equal(takeAll("a"), 3);
  assert.equal(takeAll("b"), 3, "each key has its own");
  assert.ok(limit.isEmpty("a"));
  await clock.advance(1_000);
  assert.ok(!limit.isEmpty("a"));
  assert.equal(takeAll("a"), 2);
  await clock.advance(3_600_000);
  assert.equal(takeAll("a"), 3);
});

test("of more keys than there is room for, the one used longest ago is forgotten", () => {
  const limit = new SigningLimit({ burst: 1, perSecond: 1, clock: makeFakeClock() });
  for (let i = 0; i <= MAX_BUCKETS; i++) limit.take(`${i}`);
  assert.ok(!limit.isEmpty("0"));
  assert.ok(limit.isEmpty("1") && limit.isEmpty(`${MAX_BUCKETS}`));
});
