// All cases that cyclonus generates, step by step, judged by its matcher and by our evaluator: peers
// of each kind by ports of each kind by direction, conflicts, stacks, ranges, changes of everything.

import assert from "node:assert/strict";
import test from "node:test";
import { SampleEvaluator } from "../../netpol-identity/evaluate/sample-evaluator.ts";
import { UPSTREAM_PODS } from "../../netpol-identity/evaluate/upstream-cases.ts";
import { differences } from "./compare-verdicts.ts";
import { Cyclonus, cyclonusCases } from "./cyclonus.ts";
import { GeneratedWorld } from "./generated-world.ts";
import { flowsAmong } from "./oracle-flows.ts";

/** When this was written; fewer would mean that the generator is not asked for all. */
const LEAST_CASES = 230;
const OUTSIDERS = ["192.168.77.2", "fd77::2"];
/** Served, on either side of what is served, and what names in the cases stand for. */
const ASKED = (["TCP", "UDP", "SCTP"] as const).flatMap((protocol) =>
  [53, 79, 80, 81, 82].map((port) => ({ protocol, port })),
);

test("the evaluator agrees with cyclonus in each step of each generated case", async () => {
  const address = UPSTREAM_PODS.find(({ name }) => name === "z/c")?.addresses.ip;
  const cases = await cyclonusCases(address ?? "");
  assert.ok(cases.length >= LEAST_CASES, `${cases.length} cases`);
  await using cyclonus = await Cyclonus.start();
  const evaluator = new SampleEvaluator();
  for (const { Description: name, Steps: steps } of cases) {
    const world = new GeneratedWorld();
    for (const [at, { Actions: actions }] of steps.entries()) {
      for (const action of actions ?? []) world.apply(action);
      const { objects } = world;
      evaluator.hold(objects);
      const flows = flowsAmong(objects, OUTSIDERS, ASKED);
      const different = await differences(cyclonus, evaluator, objects, flows);
      assert.deepEqual(
        different,
        [],
        `${name}, step ${at + 1}: ${JSON.stringify(objects.policies)}`,
      );
    }
  }
});
