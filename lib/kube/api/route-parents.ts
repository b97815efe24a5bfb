// The list status.parents of a Gateway API route: one entry for each parent and controller. Each
// controller writes its own entries and leaves the others' as they are. Pure.
// https://gateway-api.sigs.k8s.io/reference/spec/#routestatus

import { type Condition, mergeConditions } from "./condition.ts";
import { asList, asRecord, asText, type JsonRecord } from "./fields.ts";

/** What one controller says about a route and one of its parents. */
export interface ParentStatus {
  /** As in the route's spec. */
  readonly parentRef: object;
  readonly conditions: readonly Condition[];
}

/** Limit of the API, over all controllers. */
export const MAX_PARENTS = 32;
/** Condition types of a parent that its controller answers for. */
const OUR_TYPES: ReadonlySet<string> = new Set(["Accepted", "ResolvedRefs", "PartiallyInvalid"]);

/**
 * The list with our entries as `wanted` says. Every entry keeps its place, or two controllers
 * would put each other's in order for ever; new ones come last, those that do not fit not at all.
 * @param current the list as it is, whatever it holds
 * @param now RFC 3339, for conditions whose status changes
 */
export function mergeParents(
  current: unknown,
  wanted: readonly ParentStatus[],
  { controllerName, now }: { readonly controllerName: string; readonly now: string },
): readonly unknown[] {
  const left = new Map(wanted.map((parent) => [parentKey(parent.parentRef), parent]));
  const update = (entry: unknown, { parentRef, conditions }: ParentStatus): JsonRecord => {
    const known = asList(asRecord(entry)["conditions"]);
    const merged = mergeConditions(known, conditions, { ours: OUR_TYPES, now });
    return { ...asRecord(entry), parentRef, controllerName, conditions: merged };
  };
  const kept = asList(current).flatMap((entry) => {
    if (asRecord(entry)["controllerName"] !== controllerName) return [entry];
    const key = parentKey(asRecord(entry)["parentRef"]);
    const parent = left.get(key);
    left.delete(key);
    return parent === undefined ? [] : [update(entry, parent)];
  });
  return [...kept, ...left.values().map((parent) => update({}, parent))].slice(0, MAX_PARENTS);
}

/** The same for two references that mean the same parent. */
function parentKey(parentRef: unknown): string {
  const { group, kind, namespace, name, sectionName, port }: JsonRecord = asRecord(parentRef);
  const identity = [group ?? "gateway.networking.k8s.io", kind ?? "Gateway"];
  return JSON.stringify([...identity, asText(namespace), name, asText(sectionName), port ?? 0]);
}
