// What a test of faults says to its clients, honest ones and others.

export interface ClientTarget {
  readonly address: string;
  readonly port: number;
}

/** Bytes to send, as Latin-1. */
export interface RawWrite {
  readonly bytes: string;
  /** Waits so long before. @default 0 */
  readonly afterMs?: number;
}

export interface RawAnswer {
  /** As Latin-1, at most the first 256 KiB. */
  readonly received: string;
  readonly receivedBytes: number;
  /** How the other side ended it; `open` when it had not by the end of the time. */
  readonly end: "fin" | "reset" | "open";
  readonly elapsedMs: number;
}

/** Connections that each take as long as they may. */
export interface HoldRequest extends ClientTarget {
  readonly count: number;
  readonly ratePerSecond: number;
  /** Sent at once. */
  readonly first: string;
  /** Sent then every `dripMs`; nothing when empty. */
  readonly drip: string;
  readonly dripMs: number;
  /** False never reads. */
  readonly reads: boolean;
}

export interface HoldReport {
  readonly opened: number;
  readonly stillOpen: number;
  /** When the other side ended them, counted from each one's start. */
  readonly cutMs: { readonly least: number; readonly middle: number; readonly most: number };
  /** Of what came back: how often each status line did. */
  readonly answers: Readonly<Record<string, number>>;
}

/** Honest requests on kept connections; the nth starts at its time, whatever became of others. */
export interface HonestRequest extends ClientTarget {
  readonly ratePerSecond: number;
  readonly durationMs: number;
  readonly method: "GET" | "POST";
  /** `{n}` is replaced by the request's number. */
  readonly path: string;
  /** Bytes of the body of each. */
  readonly bodyBytes: number;
  readonly protocol: "http1" | "http2";
  readonly timeoutMs: number;
}

export interface HonestReport {
  readonly started: number;
  readonly ok: number;
  /** Of answers that were not 2xx, or did not come, or had the wrong hash: how often each. */
  readonly failures: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly mostMs: number;
}

/**
 * - `download`: chunks of an HTTP/1.1 response, from `/trickle`.
 * - `websocket`: bytes of an upgraded connection, each answered before the next.
 * - `h2`: messages of one HTTP/2 stream, each answered before the next, as in gRPC.
 * - `requests`: requests one after another on a kept connection, and anew when that is closed.
 */
export type LongKind = "download" | "websocket" | "h2" | "requests";

export interface LongRequest extends ClientTarget {
  readonly kind: LongKind;
  readonly pieces: number;
  /** Between two pieces. */
  readonly everyMs: number;
}

export interface LongReport {
  readonly pieces: number;
  /** The other side said that this was all, and broke nothing. */
  readonly complete: boolean;
  /** That the connection would end was announced: GOAWAY, or `Connection: close`. */
  readonly warned: boolean;
  /** Empty without one. */
  readonly error: string;
}

/** Calls that `fault-client.ts` takes on standard input. */
export interface FaultClientCalls {
  /** Sends bytes on a new connection and listens until it ends, or for `forMs`. */
  readonly exchange: {
    readonly request: ClientTarget & {
      readonly writes: readonly RawWrite[];
      readonly forMs: number;
      /** Ends with the first answer that has this in it. */
      readonly until?: string;
    };
    readonly reply: RawAnswer;
  };
  /** Resolves when all were opened. */
  readonly hold: { readonly request: HoldRequest; readonly reply: { readonly id: number } };
  readonly held: { readonly request: { readonly id: number }; readonly reply: HoldReport };
  readonly release: { readonly request: { readonly id: number }; readonly reply: null };
  readonly long: { readonly request: LongRequest; readonly reply: LongReport };
  readonly honest: { readonly request: HonestRequest; readonly reply: HonestReport };
}
