// Which policies hold on a node, as its agent tells the controller. Anybody in the cluster can ask
// an agent: objects go by their uid, and nothing of what they say is told.

import { asRecord, asText, textRecord } from "../../lib/kube/api/fields.ts";

/** Generations by uid. */
export type HeldPolicies = ReadonlyMap<string, number>;

export interface EnforcementReport {
  readonly policies: HeldPolicies;
  /** Why the node cannot do all that they say, a sentence each. */
  readonly problems: readonly string[];
  /** By uid, of policies that close ports there instead of doing what they say. @default none */
  readonly closed?: ReadonlyMap<string, string>;
}

const MAX_PROBLEMS = 8;
const MAX_PROBLEM_LENGTH = 512;

export function formatEnforcement(report: EnforcementReport): string {
  const { policies, problems, closed = new Map() } = report;
  return JSON.stringify({
    policies: Object.fromEntries(policies),
    ...(closed.size > 0 && { closed: Object.fromEntries(closed) }),
    problems: problems.slice(0, MAX_PROBLEMS).map((one) => one.slice(0, MAX_PROBLEM_LENGTH)),
  });
}

/** @throws SyntaxError when it is no JSON; whatever else is odd in it says nothing */
export function parseEnforcement(text: string): EnforcementReport {
  const { policies, problems, closed } = asRecord(JSON.parse(text));
  const known = Object.entries(asRecord(policies)).filter(
    (entry): entry is [string, number] => typeof entry[1] === "number",
  );
  const said = Array.isArray(problems) ? problems.slice(0, MAX_PROBLEMS).map(asText) : [];
  return {
    policies: new Map(known),
    problems: said.map((one) => one.slice(0, MAX_PROBLEM_LENGTH)),
    closed: new Map(
      Object.entries(textRecord(closed)).map(([uid, why]) => [
        uid,
        why.slice(0, MAX_PROBLEM_LENGTH),
      ]),
    ),
  };
}
