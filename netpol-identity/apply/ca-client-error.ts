// The one way in which asking the CA for a certificate fails.

import type { GrpcCode } from "../../lib/grpc/status.ts";

/** What to make of a failure: of these, only the first three pass without somebody's doing. */
export type CaFailure =
  /** Nobody answered, or nobody who can sign: try again, with backoff. */
  | "unavailable"
  /** Asked too often: try again later. */
  | "exhausted"
  /** No pod of that identity here, as far as the CA knows yet; or nobody who may ask, or a ban. */
  | "permission-denied"
  /** The token is none, or not for this CA. */
  | "unauthenticated"
  /** The CA cannot read what we sent, or we what it sent. */
  | "invalid";

export class CaClientError extends Error {
  override readonly name = "CaClientError";
  readonly code: CaFailure;

  /** @param message never holds a token or a key */
  constructor(message: string, { code, cause }: { code: CaFailure; cause?: unknown }) {
    super(message, { cause });
    this.code = code;
  }
}

/** What a status of the wire means to the caller. */
export function caFailureOf(code: GrpcCode): CaFailure {
  switch (code) {
    case "PERMISSION_DENIED":
      return "permission-denied";
    case "UNAUTHENTICATED":
      return "unauthenticated";
    case "RESOURCE_EXHAUSTED":
      return "exhausted";
    case "INVALID_ARGUMENT":
    case "UNIMPLEMENTED":
    case "OUT_OF_RANGE":
      return "invalid";
    default:
      return "unavailable";
  }
}
