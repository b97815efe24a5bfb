// What a test of faults says to a backend that misbehaves on demand, and what that has seen.

/**
 * - `ok`: answers what the path asks for.
 * - `fail`: 503 to everything.
 * - `hang`: reads, and never answers.
 * - `refuse`: nobody listens, and connections are reset.
 */
export type BackendMode = "ok" | "fail" | "hang" | "refuse";

/** What was seen since the last `reset`. */
export interface BackendCounts {
  readonly requests: number;
  readonly inFlight: number;
  readonly mostInFlight: number;
  /** Whose client, or proxy, went before the answer was complete. */
  readonly cancelled: number;
  readonly connections: number;
  /** How often each `x-key` arrived. */
  readonly keys: Readonly<Record<string, number>>;
}

/** The answer to any path that asks for nothing else, as JSON. */
export interface BackendEcho {
  readonly pod: string;
  readonly method: string;
  readonly url: string;
  readonly host: string;
  readonly bodyBytes: number;
  /** SHA-256, hexadecimal. */
  readonly bodyHash: string;
}

/** Calls that `fault-backend.ts` takes on standard input. */
export interface FaultBackendCalls {
  readonly listen: {
    readonly request: {
      readonly pod: string;
      readonly port: number;
      readonly protocol: "http1" | "http2";
    };
    readonly reply: null;
  };
  readonly mode: { readonly request: { readonly mode: BackendMode }; readonly reply: null };
  readonly counts: { readonly request: object; readonly reply: BackendCounts };
  readonly reset: { readonly request: object; readonly reply: null };
}
