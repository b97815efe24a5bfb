// What policies cost: from objects to what the kernel holds, one change, one verdict, one new flow.

import { fileURLToPath } from "node:url";
import { runOrThrow } from "../playground/command.ts";
import type { BenchContext, BenchResult } from "../scripts/bench-report.ts";
import { measurePolicyFlows } from "./policy-flow-stage.ts";
import { cyclonusUs } from "./policy-peer.ts";
import {
  flowBudgets,
  flowRows,
  type JudgeCosts,
  judgeBudgets,
  judgeRows,
  type PolicySize,
  type PolicyTimes,
  programBudgets,
  programRows,
} from "./policy-report.ts";
import { awaitNoListeners } from "./ruleset-listeners.ts";

export const name = "policy";

const POLICIES = 500;
const SIZES = [1_000, 5_000, 10_000].map((pods) => ({ pods, policies: POLICIES }));
const PEER_SIZE = { pods: 1_000, policies: POLICIES };
const FLOW_ROUNDS = 7;
const LIMIT_MS = 120_000;
const KEEP = new URL("./policy-program.ts", import.meta.url);
const JUDGE = new URL("./policy-judge-program.ts", import.meta.url);

const NOTES = [
  `A store with fifty namespaces of ten apps, ${POLICIES} NetworkPolicies about an app each, and 110
pods of the node that is measured; the agent's own loop keeps the kernel of a network namespace. A
cold start begins with the objects in the store. A change takes from the store to the kernel's
answer; kernel is its part of that, CPU what all threads used. Medians, unless said otherwise.
Pods elsewhere are of apps that have none on this node. Guarded Services have five endpoints of one
app each, and are asked about again when their answers changed.`,
  `Verdicts are of the evaluator alone, about a flow in one direction. Cyclonus's matcher goes
through all policies for each flow: ours is asked about the set of one pod, which was made before.`,
  `Flows are datagrams from one pod of a node to the next over four nodes that take turns,
${FLOW_ROUNDS} rounds; CPU is the sender's, on which the kernel does all the work. "No tables"
tracks connections and has one rule that lets known ones pass. Budgets compare round by round.`,
];

export async function run({ print, signal }: BenchContext): Promise<BenchResult> {
  await awaitNoListeners();
  const kept: (readonly [PolicySize, PolicyTimes])[] = [];
  for (const size of SIZES) {
    print(`keeping ${POLICIES} policies among ${size.pods} pods`);
    const argv = [String(size.pods), String(size.policies)];
    kept.push([size, await runProgram<PolicyTimes>(KEEP, argv, signal)]);
  }
  print("judging");
  const judged = await runProgram<JudgeCosts>(JUDGE, [], signal);
  const peerUs = await cyclonusUs(PEER_SIZE);
  print(`measuring flows, ${FLOW_ROUNDS} rounds`);
  const flows = await measurePolicyFlows(FLOW_ROUNDS, signal);
  return {
    notes: NOTES,
    rows: [
      ...kept.flatMap(([size, times]) => programRows(size, times)),
      ...judgeRows(judged, PEER_SIZE, peerUs),
      ...flowRows(flows),
    ],
    budgets: [...programBudgets(kept), ...judgeBudgets(judged), ...flowBudgets(flows)],
  };
}

/** In a network namespace without a name, which goes with the program. */
async function runProgram<Result>(
  program: URL,
  words: readonly string[],
  signal: AbortSignal,
): Promise<Result> {
  const path = fileURLToPath(program);
  const node = [process.execPath, "--expose-gc", "--disable-warning=ExperimentalWarning", path];
  const argv = ["unshare", "--net", "--", ...node, ...words];
  return JSON.parse(await runOrThrow(argv, { timeoutMs: LIMIT_MS, signal })) as Result;
}
