// meta/v1 LabelSelector: read at the edge, matched in memory, and written back as text.

import { asText, formatValue, isRecord } from "./fields.ts";
import type { Labels } from "./intern.ts";
import { type Faults, makePartFaults, readItems, readKnown, readWord } from "./policy-fields.ts";

const OPERATORS = ["In", "NotIn", "Exists", "DoesNotExist"] as const;
export type SelectorOperator = (typeof OPERATORS)[number];

/** Requirements that must all hold; none of them: everything is selected. */
export interface LabelSelector {
  readonly matchLabels: Labels;
  readonly matchExpressions: readonly LabelRequirement[];
}

export interface LabelRequirement {
  readonly key: string;
  readonly operator: SelectorOperator;
  /** Of In and NotIn; empty for the others. */
  readonly values: readonly string[];
}

export const EVERYTHING: LabelSelector = { matchLabels: {}, matchExpressions: [] };

const MAX_REQUIREMENTS = 256;
const MAX_VALUES = 1_024;

const NAME = "[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?";
const KEY = new RegExp(`^(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?${NAME}$`);
const VALUE = new RegExp(`^(?:${NAME})?$`);

/**
 * Reads a selector. Never throws. Any part that cannot be read makes the whole one a fault: what is
 * left would select more.
 * @returns undefined, and tells `faults`, where it has one
 */
export function readLabelSelector(
  value: unknown,
  field: string,
  faults: Faults,
): LabelSelector | undefined {
  const own = makePartFaults(faults);
  const fields = readKnown(value, field, ["matchLabels", "matchExpressions"], own);
  const matchLabels = readMatchLabels(fields["matchLabels"], `${field}.matchLabels`, own);
  const at = `${field}.matchExpressions`;
  const items = readItems(fields["matchExpressions"], at, MAX_REQUIREMENTS, own);
  const matchExpressions = items.flatMap((item, i) => readRequirement(item, `${at}[${i}]`, own));
  return own.any ? undefined : { matchLabels, matchExpressions };
}

/**
 * Whether all requirements hold, as Kubernetes means them: NotIn and DoesNotExist hold for labels
 * that lack the key.
 */
export function matchesLabels(selector: LabelSelector, labels: Labels): boolean {
  for (const key in selector.matchLabels) {
    // `labels` is a record of whatever keys somebody chose, such as `constructor`.
    if (!Object.hasOwn(labels, key) || labels[key] !== selector.matchLabels[key]) return false;
  }
  return selector.matchExpressions.every((one) => holds(one, labels));
}

/**
 * The selector as one line in the manner of `kubectl -l`: `app=web,tier in (a,b),!old`. Equal for
 * selectors that differ in order, in repetition, or in how they say that a label has one value;
 * "" selects everything.
 */
export function formatLabelSelector({ matchLabels, matchExpressions }: LabelSelector): string {
  const parts = [
    ...Object.entries(matchLabels).map(([key, value]) => `${key}=${value}`),
    ...matchExpressions.map(formatRequirement),
  ];
  return [...new Set(parts)].sort().join(",");
}

function holds({ key, operator, values }: LabelRequirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    default:
      return operator satisfies never;
  }
}

function formatRequirement({ key, operator, values }: LabelRequirement): string {
  const sorted = [...new Set(values)].sort();
  switch (operator) {
    case "In":
      return sorted.length === 1 ? `${key}=${sorted[0]}` : `${key} in (${sorted.join(",")})`;
    case "NotIn":
      return sorted.length === 1 ? `${key}!=${sorted[0]}` : `${key} notin (${sorted.join(",")})`;
    case "Exists":
      return key;
    case "DoesNotExist":
      return `!${key}`;
    default:
      return operator satisfies never;
  }
}

function readMatchLabels(value: unknown, field: string, faults: Faults): Labels {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) {
    faults.reject(field, `want an object: got ${formatValue(value)}`);
    return {};
  }
  const entries = Object.entries(value);
  if (entries.length > MAX_REQUIREMENTS) {
    faults.reject(field, `want at most ${MAX_REQUIREMENTS} labels: got ${entries.length}`);
    return {};
  }
  return Object.fromEntries(
    entries.flatMap(([key, wanted]) => {
      if (!KEY.test(key)) faults.reject(field, `want a label's key: got ${formatValue(key)}`);
      if (isLabelValue(wanted)) return [[key, wanted] as const];
      faults.reject(field, `want a label's value: got ${formatValue(wanted)}`);
      return [];
    }),
  );
}

function readRequirement(
  value: unknown,
  field: string,
  faults: Faults,
): readonly LabelRequirement[] {
  const fields = readKnown(value, field, ["key", "operator", "values"], faults);
  const operator = readWord(fields["operator"], `${field}.operator`, OPERATORS, faults);
  const at = `${field}.values`;
  const values = readItems(fields["values"], at, MAX_VALUES, faults).flatMap((one, i) => {
    if (isLabelValue(one)) return [one];
    faults.reject(`${at}[${i}]`, `want a label's value: got ${formatValue(one)}`);
    return [];
  });
  const key = asText(fields["key"]);
  if (!KEY.test(key)) faults.reject(`${field}.key`, `want a label's key: got ${formatValue(key)}`);
  if (operator === undefined) return [];
  const wantsValues = operator === "In" || operator === "NotIn";
  if (wantsValues !== values.length > 0) {
    faults.reject(at, `want ${wantsValues ? "one or more" : "none"} with ${operator}`);
  }
  return [{ key, operator, values }];
}

function isLabelValue(value: unknown): value is string {
  return typeof value === "string" && VALUE.test(value);
}
