// How long a request may take: what its route allows and, of a gRPC call, what its client waits.

import { type FieldLines, fieldValue } from "../../lib/http/message.ts";
import type { Forwarded } from "./http-routing.ts";

const NEVER = Number.POSITIVE_INFINITY;
const TIMEOUT = /^([0-9]{1,8})([HMSmun])$/;
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** Milliseconds for the whole request, retries included; infinite without a limit. */
export function timeLimitMs({ rule, group, head }: Forwarded): number {
  const { requestMs = 0 } = rule.timeouts;
  const routeMs = requestMs > 0 ? requestMs : NEVER;
  if (!rule.grpc && group.plan.protocol !== "http2") return routeMs;
  return Math.min(routeMs, grpcTimeoutMs(head.fields));
}

/**
 * The field `grpc-timeout`; infinite without one, or with what is none.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests
 */
export function grpcTimeoutMs(fields: FieldLines): number {
  const [, digits, unit = ""] = TIMEOUT.exec(fieldValue(fields, "grpc-timeout") ?? "") ?? [];
  return digits === undefined ? NEVER : Number(digits) * (UNIT_MS[unit] ?? NEVER);
}
