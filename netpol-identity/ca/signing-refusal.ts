// Why the CA does not sign: a reason for metrics, a status for the wire, a sentence for people.

import type { GrpcCode } from "../../lib/grpc/status.ts";

const CODES = {
  "no-token": "UNAUTHENTICATED",
  "bad-token": "UNAUTHENTICATED",
  "not-allowed": "PERMISSION_DENIED",
  "unbound-token": "PERMISSION_DENIED",
  "caller-gone": "PERMISSION_DENIED",
  banned: "PERMISSION_DENIED",
  "bad-request": "INVALID_ARGUMENT",
  "other-domain": "PERMISSION_DENIED",
  "no-pod": "PERMISSION_DENIED",
  "node-limit": "RESOURCE_EXHAUSTED",
  "failure-limit": "RESOURCE_EXHAUSTED",
  busy: "RESOURCE_EXHAUSTED",
  "not-ready": "UNAVAILABLE",
} as const satisfies Readonly<Record<string, GrpcCode>>;

export type RefusalReason = keyof typeof CODES;

export interface Refusal {
  readonly kind: "refused";
  readonly reason: RefusalReason;
  readonly code: GrpcCode;
  /** What is wrong and what would mend it; holds no secret. */
  readonly why: string;
}

export function refusal(reason: RefusalReason, why: string): Refusal {
  return { kind: "refused", reason, code: CODES[reason], why };
}
