// The one way in which a call fails for its caller.

import type { GrpcCode } from "./status.ts";

/** `code` is the peer's, or UNAVAILABLE and DEADLINE_EXCEEDED when there was no answer. */
export class GrpcError extends Error {
  override readonly name = "GrpcError";
  readonly code: GrpcCode;

  constructor(message: string, { code, cause }: { code: GrpcCode; cause?: unknown }) {
    super(message, { cause });
    this.code = code;
  }
}
