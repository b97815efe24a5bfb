import assert from "node:assert/strict";
import { test } from "node:test";
import { EvenDraws, weightedGroup } from "./weighted-group.ts";

test("connections follow the weights exactly, from the first hundred on", () => {
  const backends = [
    { group: "stable", weight: 90 },
    { group: "canary", weight: 7 },
    { group: "none", weight: 0 },
    { weight: 3 },
  ];
  const draws = new EvenDraws();
  const counts = new Map<string | undefined, number>();
  for (let n = 1; n <= 10_000; n++) {
    const group = weightedGroup(backends, draws.next());
    counts.set(group, (counts.get(group) ?? 0) + 1);
    for (const { group: name, weight } of backends) {
      const offBy = Math.abs((counts.get(name) ?? 0) - (n * weight) / 100);
      assert(offBy <= 3, `${name} is off by ${offBy} of ${n}`);
    }
  }
});

test("the share of a reference that leads nowhere is nobody's", () => {
  const backends = [{ group: "a", weight: 1 }, { weight: 1 }];
  assert.equal(weightedGroup(backends, 0), "a");
  assert.equal(weightedGroup(backends, 0.5), undefined);
});

test("without a weight above zero nobody is drawn", () => {
  assert.equal(weightedGroup([{ group: "a", weight: 0 }], 0), undefined);
  assert.equal(weightedGroup([], 0.3), undefined);
});
