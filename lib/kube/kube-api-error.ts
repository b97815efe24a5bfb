// The one way in which talking to the API server fails.

export interface KubeApiFailure {
  /** HTTP status, or the errno of a broken connection such as `ECONNREFUSED`. */
  readonly code: number | string;
  /** The API's word for it, e.g. `Expired`, or `Network`. */
  readonly reason: string;
  /** How long the server asked us to wait; 0 when it did not. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

export class KubeApiError extends Error {
  override readonly name = "KubeApiError";
  readonly code: number | string;
  readonly reason: string;
  readonly retryAfterMs: number;

  /** @param message what was tried and what the server said; never a token */
  constructor(message: string, { code, reason, retryAfterMs = 0, cause }: KubeApiFailure) {
    super(message, { cause });
    this.code = code;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

/** True for 410 Gone in its two spellings: the version asked for is compacted away. */
export function isExpired({ code, reason }: { code: number | string; reason: string }): boolean {
  return code === 410 || reason === "Expired" || reason === "Gone";
}

/** Any thrown value as a KubeApiError; errno codes of sockets are kept. */
export function toKubeApiError(action: string, cause: unknown): KubeApiError {
  if (cause instanceof KubeApiError) return cause;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "UNKNOWN";
  const why = cause instanceof Error ? cause.message : String(cause);
  return new KubeApiError(`Cannot ${action}: ${why}`, { code, reason: "Network", cause });
}
