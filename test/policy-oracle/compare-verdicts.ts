// The evaluator's answers beside cyclonus's, in cyclonus's words.

import type {
  SampleEvaluator,
  SampleFlow,
} from "../../netpol-identity/evaluate/sample-evaluator.ts";
import type { PolicyObjects } from "../../netpol-identity/evaluate/sample-policy-objects.ts";
import type { Cyclonus, OracleVerdict } from "./cyclonus.ts";

const TOLD = 5;

/** Flows of which the two think differently, and why ours does: the first few as text. */
export async function differences(
  cyclonus: Cyclonus,
  evaluator: SampleEvaluator,
  objects: PolicyObjects,
  flows: readonly SampleFlow[],
): Promise<readonly string[]> {
  const verdicts = await cyclonus.judge(objects, flows);
  return flows
    .filter((flow, at) => verdicts[at] !== verdictOf(evaluator, flow))
    .slice(0, TOLD)
    .map((flow) => {
      const { from, to, protocol, port } = flow;
      const [egress, ingress] = [evaluator.egress(flow), evaluator.ingress(flow)];
      const asked = `${from} > ${to}, ${protocol} ${port}`;
      const answers = `cyclonus ${verdicts[flows.indexOf(flow)]}, we ${verdictOf(evaluator, flow)}`;
      const rules = [egress, ingress].map(({ kind, rule }) => `${kind} (${rule})`).join(", ");
      return `${asked}: ${answers}, egress and ingress ${rules}`;
    });
}

function verdictOf(evaluator: SampleEvaluator, flow: SampleFlow): OracleVerdict {
  const isDeniedOut = evaluator.egress(flow).kind !== "allow";
  const isDeniedIn = evaluator.ingress(flow).kind !== "allow";
  if (isDeniedIn) return isDeniedOut ? "b" : "i";
  return isDeniedOut ? "e" : "+";
}
