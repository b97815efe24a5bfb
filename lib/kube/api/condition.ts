// meta/v1 Condition: how a list of them is brought up to date without touching what others wrote
// and without moving the time of a transition that was none. Pure.

import { asRecord, asText, type JsonRecord } from "./fields.ts";

export interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

/** Limits of the API: conditions of one object, bytes of a message. */
export const MAX_CONDITIONS = 8;
export const MAX_MESSAGE_LENGTH = 32_768;

/**
 * The list as it should be: `wanted`, and what is there of types that are not `ours`. Every one
 * keeps its place and new ones come last; when that is more than the API takes, others' go.
 * @param now RFC 3339, for conditions whose status changes
 */
export function mergeConditions(
  current: readonly unknown[],
  wanted: readonly Condition[],
  { ours, now }: { readonly ours: ReadonlySet<string>; readonly now: string },
): readonly unknown[] {
  const left = new Map(wanted.map((condition) => [condition.type, condition]));
  const others = MAX_CONDITIONS - left.size;
  let kept = 0;
  const updated = current.flatMap((value) => {
    const type = asText(asRecord(value)["type"]);
    const condition = left.get(type);
    left.delete(type);
    if (condition !== undefined) return [updateCondition(value, condition, now)];
    const isWanted = wanted.some((other) => other.type === type);
    return isWanted || ours.has(type) || ++kept > others ? [] : [value];
  });
  return [...updated, ...left.values().map((condition) => updateCondition({}, condition, now))];
}

function updateCondition(before: unknown, condition: Condition, now: string): JsonRecord {
  const { status, lastTransitionTime } = asRecord(before);
  const same = status === condition.status && asText(lastTransitionTime) !== "";
  return {
    ...condition,
    lastTransitionTime: same ? lastTransitionTime : now,
    message: condition.message.slice(0, MAX_MESSAGE_LENGTH),
  };
}

/** A moment as `meta/v1 Time`: whole seconds. */
export function formatTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace(/\.\d+Z$/, "Z");
}
