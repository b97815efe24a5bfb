// gateway.networking.k8s.io/v1 UDPRoute: the fields Innermesh reads, checked at the edge.

import { invalidObject, readHead } from "./head.ts";
import type { Parsed } from "./parsed.ts";
import {
  type RouteIdentity,
  readBackendRefs,
  readRouteIdentity,
  readRules,
} from "./route-fields.ts";
import { MAX_STREAM_RULES, type StreamRouteRule } from "./tcp-route.ts";

export interface UdpRoute extends RouteIdentity {
  readonly kind: "UDPRoute";
  readonly rules: readonly StreamRouteRule[];
}

/** Reads a UDPRoute. Never throws. */
export function parseUdpRoute(value: unknown): Parsed<UdpRoute> {
  const head = readHead("UDPRoute", "namespaced", value);
  if (head.kind === "invalid") return head;
  const identity = readRouteIdentity(head);
  const rules = readRules(head, head.spec["rules"], MAX_STREAM_RULES, (fields, field, rule) => ({
    backendRefs: readBackendRefs(fields["backendRefs"], `${field}.backendRefs`, rule, () => ({})),
  }));
  if (identity === undefined || rules === undefined) return invalidObject(head);
  const object: UdpRoute = { kind: "UDPRoute", ...identity, rules };
  return { kind: "ok", object, problems: head.problems.take() };
}
