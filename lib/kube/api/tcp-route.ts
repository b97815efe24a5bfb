// gateway.networking.k8s.io/v1 TCPRoute: the fields Innermesh reads, checked at the edge.

import { invalidObject, readHead } from "./head.ts";
import type { Parsed } from "./parsed.ts";
import {
  type BackendRef,
  type RouteIdentity,
  type RouteRuleBase,
  readBackendRefs,
  readRouteIdentity,
  readRules,
} from "./route-fields.ts";

export interface TcpRoute extends RouteIdentity {
  readonly kind: "TCPRoute";
  readonly rules: readonly StreamRouteRule[];
}

/** One way for bytes to go, the same for TCPRoutes and TLSRoutes. */
export interface StreamRouteRule extends RouteRuleBase {
  readonly backendRefs: readonly BackendRef[];
}

/** The API has one; older versions of it had up to 16, of which the first could ever match. */
export const MAX_STREAM_RULES = 16;

/** Reads a TCPRoute. Never throws. */
export function parseTcpRoute(value: unknown): Parsed<TcpRoute> {
  const head = readHead("TCPRoute", "namespaced", value);
  if (head.kind === "invalid") return head;
  const identity = readRouteIdentity(head);
  const rules = readRules(head, head.spec["rules"], MAX_STREAM_RULES, (fields, field, rule) => ({
    backendRefs: readBackendRefs(fields["backendRefs"], `${field}.backendRefs`, rule, () => ({})),
  }));
  if (identity === undefined || rules === undefined) return invalidObject(head);
  const object: TcpRoute = { kind: "TCPRoute", ...identity, rules };
  return { kind: "ok", object, problems: head.problems.take() };
}
