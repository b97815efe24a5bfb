// What a verdict costs the matcher of cyclonus, a conformance suite of NetworkPolicy, in the same
// cluster and about the same flows as ours is asked.

import assert from "node:assert/strict";
import { makeStore } from "../lib/kube/store.ts";
import type { Manifest } from "../netpol-identity/evaluate/sample-policy-objects.ts";
import { Cyclonus } from "../test/policy-oracle/cyclonus.ts";
import { addressesOf, PolicyWorld } from "./policy-world.ts";
import { median } from "./statistics.ts";

const ROUNDS = 5;
const FLOWS = 5_000;
const [FROM, TO] = [907, 607];

/** Microseconds of a verdict about both directions, reading the flow included. */
export async function cyclonusUs(size: { pods: number; policies: number }): Promise<number> {
  const objects: Manifest[] = [];
  new PolicyWorld(makeStore([]), size, (object) => objects.push(object as Manifest));
  const where = (holds: (object: Manifest) => boolean): readonly Manifest[] =>
    objects.filter(holds);
  const world = {
    pods: where((object) => "status" in object),
    policies: where((object) => "spec" in object && !("status" in object)),
    namespaces: where((object) => !("spec" in object)),
  };
  const flows = Array.from({ length: FLOWS }, (_, i) => ({
    from: addressesOf((i * FROM) % size.pods)[0],
    to: addressesOf((i * TO) % size.pods)[0],
    protocol: "TCP" as const,
    port: 8080,
  }));
  await using cyclonus = await Cyclonus.start();
  const timed = async (some: typeof flows): Promise<number> => {
    const startMs = performance.now();
    const verdicts = await cyclonus.judge(world, some);
    assert.equal(verdicts.length, some.length);
    return performance.now() - startMs;
  };
  await timed(flows);
  const differencesMs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const emptyMs = await timed([]);
    differencesMs.push((await timed(flows)) - emptyMs);
  }
  return (1_000 * median(differencesMs)) / FLOWS;
}
