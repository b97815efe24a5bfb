import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Endpoint } from "../model/endpoint.ts";
import { type UsableShare, weighShares } from "./udp-shares.ts";

/** A share whose endpoints are named after it; the first `local` of them are on this node. */
function share(name: string, weight: number, count: number, local = 0): UsableShare {
  const cluster = Array.from(
    { length: count },
    (_, i): Endpoint => ({
      address: `${name}-${i}`,
      port: 53,
      ready: true,
      serving: true,
      terminating: false,
      local: i < local,
    }),
  );
  const usable = { cluster, local: cluster.slice(0, local), anywhere: count > 0 };
  return { weight, usable };
}

function timesOf(endpoints: readonly Endpoint[]): Readonly<Record<string, number>> {
  const counts = Map.groupBy(endpoints, ({ address }) => address);
  return Object.fromEntries([...counts].map(([address, all]) => [address, all.length]));
}

for (const [shares, expected] of [
  [[share("a", 80, 1), share("b", 20, 1)], { "a-0": 4, "b-0": 1 }],
  [[share("a", 1, 2), share("b", 1, 2)], { "a-0": 1, "a-1": 1, "b-0": 1, "b-1": 1 }],
  [[share("a", 1, 1), share("b", 1, 3)], { "a-0": 3, "b-0": 1, "b-1": 1, "b-2": 1 }],
  [[share("a", 99, 1), share("b", 0, 1)], { "a-0": 1 }],
  [[share("a", 80, 1), share("b", 20, 0)], { "a-0": 1 }],
  [[share("a", 80, 0)], {}],
  [[], {}],
] as const) {
  test(`shares become ${JSON.stringify(expected)}`, () => {
    assert.deepEqual(timesOf(weighShares(shares).cluster), expected);
  });
}

test("policy Local divides among the shares with endpoints on this node", () => {
  const { cluster, local, anywhere } = weighShares([share("a", 3, 1, 1), share("b", 1, 2)]);
  assert.equal(cluster.length, 8);
  assert.deepEqual(timesOf(local), { "a-0": 1 });
  assert.equal(anywhere, true);
  assert.equal(weighShares([share("a", 3, 0)]).anywhere, false);
});

test("each share is within one point of its weight, in at most 256 positions", () => {
  const some = fc.record({
    weight: fc.integer({ min: 1, max: 20 }),
    count: fc.integer({ min: 1, max: 4 }),
  });
  fc.assert(
    fc.property(fc.array(some, { minLength: 1, maxLength: 3 }), (wishes) => {
      const shares = wishes.map(({ weight, count }, i) => share(`s${i}`, weight, count));
      const { cluster } = weighShares(shares);
      const total = wishes.reduce((sum, { weight }) => sum + weight, 0);
      assert.ok(cluster.length <= 256);
      for (const [i, { weight }] of wishes.entries()) {
        const own = cluster.filter(({ address }) => address.startsWith(`s${i}-`)).length;
        assert.ok(Math.abs(own / cluster.length - weight / total) <= 0.01);
      }
    }),
  );
});

test("a limit on positions costs precision, never an endpoint", () => {
  const { cluster } = weighShares([share("a", 10_000, 1), share("b", 1, 100)]);
  assert.ok(cluster.length <= 808);
  assert.equal(Object.keys(timesOf(cluster)).length, 101);
});
