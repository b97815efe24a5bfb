// Random clusters under random policies, judged by cyclonus and by our evaluator. INNERMESH_SEED
// repeats a run.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import test from "node:test";
import fc from "fast-check";
import { SampleEvaluator } from "../../netpol-identity/evaluate/sample-evaluator.ts";
import { differences } from "./compare-verdicts.ts";
import { Cyclonus } from "./cyclonus.ts";
import { flowsAmong } from "./oracle-flows.ts";
import { randomObjects } from "./random-objects.ts";

const SEED = Number(process.env["INNERMESH_SEED"] ?? randomInt(2 ** 31));
const RUNS = process.env["INNERMESH_SOAK"] ? 100_000 : 1_500;
/** Of both families, but for one of each. */
const HOSTS = [
  ...[1, 2].flatMap((node) =>
    [2, 3].map((host) => ({
      node: `node-${node}`,
      addresses: [`10.71.${node}.${host}`, `fd71:0:0:${node}::${host}`],
    })),
  ),
  { node: "node-1", addresses: ["10.71.1.4"] },
  { node: "node-2", addresses: ["fd71:0:0:2::4"] },
];
const OUTSIDERS = ["192.168.77.2", "192.168.77.11", "10.71.1.5", "fd77::2", "fd71:0:0:1::5"];
const ASKED = [
  { protocol: "ICMP", port: 0 },
  ...(["TCP", "UDP", "SCTP"] as const).flatMap((protocol) =>
    [80, 81].map((port) => ({ protocol, port })),
  ),
] as const;

test("the evaluator agrees with cyclonus on random policies, made anew or kept up", async (t) => {
  t.diagnostic(`INNERMESH_SEED=${SEED}`);
  await using cyclonus = await Cyclonus.start();
  const keptUp = new SampleEvaluator();
  const agree = fc.asyncProperty(randomObjects(HOSTS), async (objects) => {
    const flows = flowsAmong(objects, OUTSIDERS, ASKED);
    const madeAnew = new SampleEvaluator();
    for (const [how, evaluator] of Object.entries({ madeAnew, keptUp })) {
      evaluator.hold(objects);
      assert.deepEqual(await differences(cyclonus, evaluator, objects, flows), [], how);
    }
  });
  await fc.assert(agree, { seed: SEED, numRuns: RUNS });
});
