// gateway.networking.k8s.io/v1 TLSRoute: the fields Innermesh reads, checked at the edge.

import { formatValue } from "./fields.ts";
import { type Head, invalidObject, readHead } from "./head.ts";
import type { Parsed } from "./parsed.ts";
import {
  type RouteIdentity,
  readBackendRefs,
  readBounded,
  readRouteIdentity,
  readRules,
} from "./route-fields.ts";
import { isRouteHostname } from "./route-values.ts";
import { MAX_STREAM_RULES, type StreamRouteRule } from "./tcp-route.ts";

export interface TlsRoute extends RouteIdentity {
  readonly kind: "TLSRoute";
  /** Server names, lower-case, perhaps with `*.` first; empty: none was readable. */
  readonly hostnames: readonly string[];
  readonly rules: readonly StreamRouteRule[];
}

const MAX_HOSTNAMES = 1_024;

/** Reads a TLSRoute. Never throws; an unreadable hostname is dropped with a problem. */
export function parseTlsRoute(value: unknown): Parsed<TlsRoute> {
  const head = readHead("TLSRoute", "namespaced", value);
  if (head.kind === "invalid") return head;
  const identity = readRouteIdentity(head);
  const hostnames = readHostnames(head);
  const rules = readRules(head, head.spec["rules"], MAX_STREAM_RULES, (fields, field, rule) => ({
    backendRefs: readBackendRefs(fields["backendRefs"], `${field}.backendRefs`, rule, () => ({})),
  }));
  if (identity === undefined || hostnames === undefined || rules === undefined) {
    return invalidObject(head);
  }
  const object: TlsRoute = { kind: "TLSRoute", ...identity, hostnames, rules };
  return { kind: "ok", object, problems: head.problems.take() };
}

function readHostnames({ spec, problems }: Head): readonly string[] | undefined {
  const values = readBounded(spec["hostnames"], "spec.hostnames", MAX_HOSTNAMES, problems);
  return values?.flatMap((value, i) => {
    if (isRouteHostname(value)) return [value];
    problems.add(`spec.hostnames[${i}]`, `want a hostname: got ${formatValue(value)}`);
    return [];
  });
}
