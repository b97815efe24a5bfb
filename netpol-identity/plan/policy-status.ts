// What a policy is told: whether it was read, and on how many nodes it holds.

import { isDeepStrictEqual } from "node:util";
import { type Condition, mergeConditions } from "../../lib/kube/api/condition.ts";
import { asList, type JsonRecord } from "../../lib/kube/api/fields.ts";
import type { Problem } from "../../lib/kube/api/parsed.ts";
import type { EnforcementReport } from "../model/enforcement-report.ts";

/** What a node's agent said last, or why it says nothing. */
export type NodeAnswer =
  | { readonly kind: "report"; readonly report: EnforcementReport }
  | { readonly kind: "silent"; readonly why: string };

export interface JudgedPolicy {
  readonly uid: string;
  readonly generation: number;
  /** What is wrong with it. */
  readonly problems: readonly Problem[];
  /** By node, of every node of the cluster; undefined: not all have been asked yet. */
  readonly answers: ReadonlyMap<string, NodeAnswer> | undefined;
}

export interface PolicyVerdict {
  readonly generation: number;
  readonly accepted: Condition;
  readonly enforced: Condition;
  readonly nodes?: { readonly enforced: number; readonly total: number };
  readonly lastError?: string;
  /** Missing for kinds that do not tell. */
  readonly selectedPods?: number;
}

/** Longer messages are cut: people read fewer. */
const MAX_MESSAGE_LENGTH = 1_024;
/** Nodes that a message names. */
const MAX_NAMED = 5;
/** In a status that is not ours alone, types of conditions carry a domain. */
const SHARED_PREFIX = "innermesh.io/";

export function judgePolicy({ uid, generation, problems, answers }: JudgedPolicy): PolicyVerdict {
  const accepted = acceptance(generation, problems);
  if (answers === undefined) {
    const message = "The nodes have not been asked yet";
    const about = { status: "Unknown", reason: "Pending", message } as const;
    const enforced: Condition = { type: "Enforced", ...about, observedGeneration: generation };
    return { generation, accepted, enforced };
  }
  const lacking = [...answers].flatMap(([node, answer]) => {
    const why = lackOf(answer, uid, generation);
    return why === undefined ? [] : [`${node}: ${why}`];
  });
  const total = answers.size;
  const nodes = { enforced: total - lacking.length, total };
  const enforced = enforcement(generation, nodes, lacking.sort());
  const [lastError] = [...answers].flatMap(([node, answer]) =>
    answer.kind === "report" ? answer.report.problems.map((one) => `${node}: ${one}`) : [],
  );
  return { generation, accepted, enforced, nodes, ...(lastError !== undefined && { lastError }) };
}

const TYPES: ReadonlySet<string> = new Set(["Accepted", "Enforced"]);

/** What to change in the status of a kind of ours; undefined for nothing. */
export function nextPolicyStatus(
  status: JsonRecord,
  verdict: PolicyVerdict,
  now: string,
): JsonRecord | undefined {
  const { generation, accepted, enforced, nodes, lastError, selectedPods } = verdict;
  const current = asList(status["conditions"]);
  const wanted = {
    observedGeneration: generation,
    conditions: mergeConditions(current, [accepted, enforced], { ours: TYPES, now }),
    nodes,
    lastError,
    selectedPods,
  };
  const changed = Object.entries(wanted).filter(
    ([field, value]) => !isDeepStrictEqual(status[field], value),
  );
  if (changed.length === 0) return undefined;
  // In a merge patch null takes a field away.
  return Object.fromEntries(changed.map(([field, value]) => [field, value ?? null]));
}

/** The same of ClusterNetworkPolicy, whose status has conditions alone, of everybody. */
export function nextSharedStatus(
  status: JsonRecord,
  { accepted, enforced }: PolicyVerdict,
  now: string,
): JsonRecord | undefined {
  const current = asList(status["conditions"]);
  const wanted = [accepted, enforced].map((one) => ({ ...one, type: SHARED_PREFIX + one.type }));
  const ours = new Set(wanted.map(({ type }) => type));
  const conditions = mergeConditions(current, wanted, { ours, now });
  return isDeepStrictEqual(conditions, current) ? undefined : { conditions };
}

function acceptance(observedGeneration: number, problems: readonly Problem[]): Condition {
  const common = { type: "Accepted", observedGeneration };
  if (problems.length === 0) {
    return { ...common, status: "True", reason: "Accepted", message: "All of it was understood" };
  }
  const said = problems.map(({ field, message }) => `${field}: ${message}`).join("; ");
  return { ...common, status: "False", reason: "Invalid", message: cut(said) };
}

function enforcement(
  observedGeneration: number,
  { enforced, total }: NonNullable<PolicyVerdict["nodes"]>,
  lacking: readonly string[],
): Condition {
  const common = { type: "Enforced", observedGeneration };
  if (lacking.length === 0 && total > 0) {
    return { ...common, status: "True", reason: "OnAllNodes", message: `It holds on ${total}` };
  }
  const named = lacking.slice(0, MAX_NAMED).join("; ");
  const more = lacking.length > MAX_NAMED ? `; and ${lacking.length - MAX_NAMED} more` : "";
  const message = total === 0 ? "There is no node" : `It lacks on ${named}${more}`;
  const reason = enforced === 0 ? "OnNoNode" : "NotOnAllNodes";
  return { ...common, status: "False", reason, message: cut(message) };
}

/** Undefined where it holds. A node may know a newer one than we do. */
function lackOf(answer: NodeAnswer, uid: string, generation: number): string | undefined {
  if (answer.kind === "silent") return answer.why;
  const held = answer.report.policies.get(uid);
  if (held === undefined) return "not there yet";
  return held < generation ? `still generation ${held}` : answer.report.closed?.get(uid);
}

function cut(text: string): string {
  return text.slice(0, MAX_MESSAGE_LENGTH);
}
