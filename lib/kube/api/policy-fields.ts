// How policies are read: what cannot be understood is never left out in silence, for a rule that
// lacks a condition matches more than was meant. A fault is told, and whoever reads the part that
// has it decides what closes.

import {
  asRecord,
  asText,
  escaped,
  formatValue,
  isRecord,
  type JsonRecord,
  type ProblemList,
} from "./fields.ts";
import { type Head, isName } from "./head.ts";

/** The faults of one part of a policy, such as a rule. */
export interface Faults {
  /** Tells a fault of this part. */
  reject(field: string, message: string): undefined;
  /** Whether any was told. */
  readonly any: boolean;
}

/** What identifies and dates a policy. */
export interface PolicyIdentity {
  /** "" for kinds of the cluster. */
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** 0 when the object has none, as in files. */
  readonly generation: number;
}

/** Rules of one list that are read; a longer list is a fault. */
export const MAX_POLICY_RULES = 1_024;
/** Of every other list inside a policy, where its API sets no smaller limit. */
export const MAX_POLICY_ITEMS = 4_096;

const MAX_RULE_NAME_LENGTH = 100;

/** @param around what it is a part of: with a fault there, this has one too */
export function makeFaults(problems: Pick<ProblemList, "add">, around?: Faults): Faults {
  let any = around?.any ?? false;
  return {
    reject(field, message) {
      any = true;
      problems.add(field, message);
      return undefined;
    },
    get any() {
      return any;
    },
  };
}

/** The faults of a part, which are faults of the whole as well. */
export function makePartFaults(whole: Faults): Faults {
  return makeFaults({ add: (field, message) => whole.reject(field, message) });
}

export function readPolicyIdentity(head: Head): PolicyIdentity {
  const { name, uid, resourceVersion, metadata } = head;
  const { generation } = metadata;
  const number = Number.isSafeInteger(generation) ? Number(generation) : 0;
  return { name, uid, resourceVersion, generation: number };
}

/** An object with no fields but these. Anything else might be a condition that we do not know. */
export function readKnown(
  value: unknown,
  field: string,
  names: readonly string[],
  faults: Faults,
): JsonRecord {
  if (!isRecord(value)) faults.reject(field, `want an object: got ${formatValue(value)}`);
  const fields = asRecord(value);
  for (const name of Object.keys(fields)) {
    if (names.includes(name)) continue;
    faults.reject(field, `want no other fields than ${names.join(", ")}: got ${formatValue(name)}`);
    break;
  }
  return fields;
}

/** Of a rule; "" when it has none. It reaches logs, Events and terminals as it is. */
export function readRuleName(value: unknown): string {
  return escaped(asText(value).slice(0, MAX_RULE_NAME_LENGTH)).slice(0, MAX_RULE_NAME_LENGTH);
}

/** A list that may be absent; whatever else is no list, or too long a one, is a fault and empty. */
export function readItems(
  value: unknown,
  field: string,
  max: number,
  faults: Faults,
): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) {
    faults.reject(field, `want a list: got ${formatValue(value)}`);
    return [];
  }
  if (value.length <= max) return value;
  faults.reject(field, `want at most ${max} items: got ${value.length}`);
  return [];
}

/** A list that, where it is there, has items: an empty one could mean nobody or everybody. */
export function readSomeItems(
  value: unknown,
  field: string,
  max: number,
  faults: Faults,
): readonly unknown[] | undefined {
  if (value === undefined || value === null) return undefined;
  const items = readItems(value, field, max, faults);
  if (items.length === 0 && !faults.any) faults.reject(field, "want at least one item: got none");
  return items;
}

/** Names of objects, such as namespaces. */
export function readNames(
  values: readonly unknown[],
  field: string,
  faults: Faults,
): readonly string[] {
  return values.flatMap((value, i) => {
    if (isName(value)) return [value];
    faults.reject(`${field}[${i}]`, `want a name: got ${formatValue(value)}`);
    return [];
  });
}

/** One of some words; a fault where it is none. */
export function readWord<T extends string>(
  value: unknown,
  field: string,
  words: readonly T[],
  faults: Faults,
): T | undefined {
  const word = words.find((one) => one === value);
  if (word !== undefined) return word;
  return faults.reject(field, `want ${words.join(" or ")}: got ${formatValue(value)}`);
}
