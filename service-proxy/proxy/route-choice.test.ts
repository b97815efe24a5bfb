// Chance is an argument, so shares can be counted exactly.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { chooseBackend, isMirrored, makeEvenChance } from "./route-choice.ts";

test("each backend gets its share of an even chance, and weight 0 gets none", () => {
  const backends = [{ weight: 0 }, { weight: 7 }, { weight: 3 }, { weight: 0 }];
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 1_000; i++) {
    const chosen = chooseBackend(backends, (i + 0.5) / 1_000);
    assert.ok(chosen);
    const at = backends.indexOf(chosen);
    counts[at] = (counts[at] ?? 0) + 1;
  }
  assert.deepEqual(counts, [0, 700, 300, 0]);
});

test("property: even chance meets every weight within a point, in any 500 draws", () => {
  const start = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(start, fc.integer({ min: 0, max: 100 }), fc.nat(2_000), (first, percent, skip) => {
      const chance = makeEvenChance(first);
      for (let i = 0; i < skip; i++) chance();
      const canary = { weight: percent };
      const backends = [canary, { weight: 100 - percent }];
      let hits = 0;
      for (let i = 0; i < 500; i++) if (chooseBackend(backends, chance()) === canary) hits++;
      assert.ok(Math.abs(hits / 5 - percent) <= 1, `${hits} of 500 for ${percent} %`);
    }),
  );
});

test("no weight, no backend", () => {
  assert.equal(chooseBackend([], 0.5), undefined);
  assert.equal(chooseBackend([{ weight: 0 }, { weight: 0 }], 0.5), undefined);
});

test("property: some backend with weight is always chosen where there is one", () => {
  const weights = fc.array(fc.integer({ min: 0, max: 1_000_000 }), { maxLength: 16 });
  const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(weights, chance, (list, random) => {
      const chosen = chooseBackend(
        list.map((weight) => ({ weight })),
        random,
      );
      if (list.every((weight) => weight === 0)) assert.equal(chosen, undefined);
      else assert.ok(chosen !== undefined && chosen.weight > 0);
    }),
  );
});

test("a share of none mirrors nothing, and a share of all everything", () => {
  assert.equal(isMirrored(0, 0), false);
  assert.equal(isMirrored(1, 0.999_999), true);
  assert.deepEqual(
    [0, 0.24, 0.25, 0.5].map((random) => isMirrored(0.25, random)),
    [true, true, false, false],
  );
});
