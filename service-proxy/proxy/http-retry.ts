// Whether a request that came to nothing may be sent again, and when. A request that an endpoint
// may have processed is never repeated unless its method makes that harmless, or its route's rule
// names the answer.

import { type Failure, type Result, resultOfStatus } from "../model/edge.ts";
import type { RouteRule } from "../model/route-table.ts";
import type { Freshness } from "./upstream-pool-endpoint.ts";
import type { UpstreamFailure } from "./upstream-pool-stream.ts";

/** What became of an attempt: no answer, too late an answer, or one that may be tried again. */
export type AttemptEnd = UpstreamFailure | "timeout" | { readonly status: number };

export interface RetryDecision {
  readonly freshness: Freshness;
  readonly backoffMs: number;
  /** The endpoint is at fault: another one is taken if there is one, and the budget pays. */
  readonly atFault: boolean;
}

/** Beside the first attempt, where an endpoint cannot be reached or closes a kept connection. */
const MORE_ATTEMPTS = 2;

/** Repeating it does no harm (RFC 9110 §9.2.2). */
export function isIdempotent(method: string): boolean {
  switch (method) {
    case "GET":
    case "HEAD":
    case "OPTIONS":
    case "PUT":
    case "DELETE":
    case "TRACE":
      return true;
    default:
      return false;
  }
}

/**
 * @param attempts made so far, at least 1
 * @param random in [0, 1)
 */
export function decideRetry(
  end: AttemptEnd,
  { retry }: Pick<RouteRule, "retry">,
  { method, attempts, random }: { method: string; attempts: number; random: number },
): RetryDecision | undefined {
  const mayRepeat = isIdempotent(method);
  const byRule = retry !== undefined && attempts <= retry.attempts;
  const backoffMs = retry === undefined ? 0 : retry.backoffMs * (1 + random);
  if (typeof end === "object") {
    const isNamed = byRule && retry.statusCodes.includes(end.status);
    return isNamed ? { freshness: "any", backoffMs, atFault: true } : undefined;
  }
  switch (end) {
    case "unprocessed":
      if (attempts > MORE_ATTEMPTS) return undefined;
      return { freshness: "new", backoffMs: 0, atFault: false };
    case "stale":
      if (!mayRepeat || attempts > MORE_ATTEMPTS) return undefined;
      return { freshness: "new", backoffMs: 0, atFault: false };
    case "connect-failed":
    case "connect-timeout":
    case "denied":
      if (!byRule && attempts > MORE_ATTEMPTS) return undefined;
      return { freshness: "any", backoffMs: 0, atFault: true };
    case "timeout":
    case "reset":
    case "protocol":
      return byRule && mayRepeat ? { freshness: "any", backoffMs, atFault: true } : undefined;
    case "limit":
      return undefined;
    default:
      return end satisfies never;
  }
}

/** What an attempt that ended so counts as. */
export function resultOfEnd(end: AttemptEnd): Result {
  return typeof end === "object" ? resultOfStatus(end.status) : failureOfEnd(end);
}

export function failureOfEnd(end: Exclude<AttemptEnd, object>): Failure {
  switch (end) {
    case "connect-timeout":
    case "connect-failed":
      return "connect-failed";
    case "unprocessed":
    case "stale":
    case "reset":
    case "protocol":
      return "reset";
    case "timeout":
    case "limit":
    case "denied":
      return end;
    default:
      return end satisfies never;
  }
}
