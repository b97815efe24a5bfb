// What all routes of the Gateway API share (gateway.networking.k8s.io/v1, 1.6.3, experimental
// channel): references to parents and backends, and how a rule that cannot be honoured is told.

import {
  asList,
  asPort,
  asRecord,
  asText,
  formatValue,
  type JsonRecord,
  type ProblemList,
} from "./fields.ts";
import type { Head } from "./head.ts";

export const GATEWAY_GROUP = "gateway.networking.k8s.io";

/** The limits of the API's own schema; an object that breaks one never passed an API server. */
const MAX_PARENT_REFS = 32;
const MAX_BACKEND_REFS = 16;
const MAX_WEIGHT = 1_000_000;

/** What identifies and dates a route. */
export interface RouteIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Milliseconds since 1970; 0 when the object does not say. */
  readonly createdMs: number;
  /** 0 when the object does not say. */
  readonly generation: number;
  readonly parentRefs: readonly ParentRef[];
}

/** As in the object, with the API's defaults: a status names its parent in the same words. */
export interface ParentRef {
  readonly group: string;
  readonly kind: string;
  /** Undefined: the route's own. */
  readonly namespace?: string;
  readonly name: string;
  /** Of a Service: the name of its port. */
  readonly sectionName?: string;
  readonly port?: number;
}

/** One object that traffic may go to, whether it exists or not. */
export interface BackendTarget {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly port?: number;
}

export interface BackendRef {
  readonly target: BackendTarget;
  /** 0–1,000,000 */
  readonly weight: number;
}

/** Why a rule cannot be honoured as it is written; the reason is the word of a condition. */
export interface RuleFault {
  readonly reason: "UnsupportedValue" | "IncompatibleFilters";
  readonly message: string;
}

/** One rule while it is read. Its first fault counts; each becomes a problem of the object. */
export interface RuleReader {
  /** The namespace that references are relative to. */
  readonly namespace: string;
  reject(field: string, message: string, reason?: RuleFault["reason"]): undefined;
  readonly fault: RuleFault | undefined;
}

/** What every rule has, of whatever route. */
export interface RouteRuleBase {
  /** Its name, or its index where it has none. */
  readonly name: string;
  /** Undefined when all of it was understood. */
  readonly fault?: RuleFault;
}

export function makeRuleReader(namespace: string, problems: ProblemList): RuleReader {
  let fault: RuleFault | undefined;
  return {
    namespace,
    reject(field, message, reason = "UnsupportedValue") {
      problems.add(field, message);
      fault ??= { reason, message: `${field}: ${message}` };
    },
    get fault() {
      return fault;
    },
  };
}

/** Reads what identifies a route; undefined, with a problem, where its parents are too many. */
export function readRouteIdentity(head: Head): RouteIdentity | undefined {
  const { metadata, spec, problems } = head;
  const values = readBounded(spec["parentRefs"], "spec.parentRefs", MAX_PARENT_REFS, problems);
  if (values === undefined) return undefined;
  const parentRefs = values.flatMap((value, i) => {
    const ref = readParentRef(asRecord(value), `spec.parentRefs[${i}]`, problems);
    return ref === undefined ? [] : [ref];
  });
  const createdMs = Date.parse(asText(metadata["creationTimestamp"]));
  const { generation } = metadata;
  return {
    namespace: head.namespace,
    name: head.name,
    uid: head.uid,
    resourceVersion: head.resourceVersion,
    createdMs: Number.isNaN(createdMs) ? 0 : createdMs,
    generation: Number.isSafeInteger(generation) ? Number(generation) : 0,
    parentRefs,
  };
}

/** Reads the rules one by one; undefined, with a problem, where they are too many. */
export function readRules<T extends object>(
  head: Head,
  values: unknown,
  max: number,
  read: (fields: JsonRecord, field: string, rule: RuleReader) => T,
): readonly (T & RouteRuleBase)[] | undefined {
  const list = readBounded(values, "spec.rules", max, head.problems);
  return list?.map((value, i) => {
    const rule = makeRuleReader(head.namespace, head.problems);
    const fields = asRecord(value);
    const read_ = read(fields, `spec.rules[${i}]`, rule);
    const { fault } = rule;
    const name = asText(fields["name"]) || `${i}`;
    return { ...read_, name, ...(fault !== undefined && { fault }) };
  });
}

/** The value as a list, empty where it is none; undefined, with a problem, above `max` items. */
export function readBounded(
  value: unknown,
  field: string,
  max: number,
  problems: Pick<ProblemList, "add">,
): readonly unknown[] | undefined {
  const list = asList(value);
  if (list.length <= max) return list;
  problems.add(field, `want at most ${max} items: got ${list.length}`);
  return undefined;
}

/** The same for a list inside a rule: too long a list is a fault of the rule. */
export function readRuleList(
  value: unknown,
  field: string,
  max: number,
  rule: RuleReader,
): readonly unknown[] {
  const problems = { add: (at: string, message: string): void => rule.reject(at, message) };
  return readBounded(value, field, max, problems) ?? [];
}

/** @param readMore reads what a kind of route has beside the reference and its weight */
export function readBackendRefs<T extends object>(
  value: unknown,
  field: string,
  rule: RuleReader,
  readMore: (fields: JsonRecord, field: string) => T,
): readonly (BackendRef & T)[] {
  return readRuleList(value, field, MAX_BACKEND_REFS, rule).map((item, i) => {
    const fields = asRecord(item);
    const at = `${field}[${i}]`;
    const target = readBackendTarget(fields, at, rule);
    const weight = fields["weight"] ?? 1;
    const valid = Number.isInteger(weight) && Number(weight) >= 0 && Number(weight) <= MAX_WEIGHT;
    if (!valid) {
      rule.reject(`${at}.weight`, `want 0 to ${MAX_WEIGHT}: got ${formatValue(weight)}`);
    }
    return { target, weight: valid ? Number(weight) : 0, ...readMore(fields, at) };
  });
}

/** Reads a reference; what it leads to is for the planner to judge. */
export function readBackendTarget(
  fields: JsonRecord,
  field: string,
  rule: RuleReader,
): BackendTarget {
  const name = fields["name"];
  if (typeof name !== "string" || name === "") {
    rule.reject(`${field}.name`, `want a name: got ${formatValue(name)}`);
  }
  const port = asPort(fields["port"]);
  if (port === undefined && (fields["port"] ?? undefined) !== undefined) {
    const got = formatValue(fields["port"]);
    rule.reject(`${field}.port`, `want a number, 1 to 65535: got ${got}`);
  }
  return {
    group: asText(fields["group"]),
    kind: asText(fields["kind"]) || "Service",
    namespace: asText(fields["namespace"]) || rule.namespace,
    name: asText(name),
    ...(port !== undefined && { port }),
  };
}

function readParentRef(
  fields: JsonRecord,
  field: string,
  problems: ProblemList,
): ParentRef | undefined {
  const { name, group, namespace, sectionName } = fields;
  if (typeof name !== "string" || name === "") {
    problems.add(`${field}.name`, `want a name: got ${formatValue(name)}`);
    return undefined;
  }
  const port = asPort(fields["port"]);
  if (port === undefined && (fields["port"] ?? undefined) !== undefined) {
    // Without the port the reference would mean all ports: more than was asked for.
    const got = formatValue(fields["port"]);
    problems.add(`${field}.port`, `want a number, 1 to 65535: got ${got}`);
    return undefined;
  }
  return {
    // "" is the core group, which has the Services; only an absent one means the default.
    group: typeof group === "string" ? group : GATEWAY_GROUP,
    kind: asText(fields["kind"]) || "Gateway",
    ...(typeof namespace === "string" && namespace !== "" && { namespace }),
    name,
    ...(typeof sectionName === "string" && sectionName !== "" && { sectionName }),
    ...(port !== undefined && { port }),
  };
}
