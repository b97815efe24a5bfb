// What an HTTP client of the route tests can be asked, and what it tells.

import type { FieldPairs } from "./http-backend-protocol.ts";

export interface HttpTarget {
  readonly address: string;
  readonly port: number;
}

export interface HttpCall extends HttpTarget {
  /** HTTP/2 by prior knowledge. @default "http1" */
  readonly protocol?: "http1" | "http2";
  /** @default "GET" */
  readonly method?: string;
  /** @default "/" */
  readonly path?: string;
  /** `host` among them wins over the target's. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Each character a byte. */
  readonly body?: string;
  /** A patterned body of so many bytes, in place of `body`. */
  readonly sizeBytes?: number;
  /** Sent after a body without length. */
  readonly trailers?: Readonly<Record<string, string>>;
  /** Waits for 100 before it sends the body. HTTP/1.1 only. */
  readonly expectContinue?: boolean;
  /** @default 5000 */
  readonly timeoutMs?: number;
}

export interface HttpAnswer {
  readonly kind: "answer";
  readonly status: number;
  readonly fields: FieldPairs;
  /** Each character a byte; empty above 64 KiB. */
  readonly body: string;
  readonly bodyBytes: number;
  /** SHA-256, hexadecimal. */
  readonly bodyHash: string;
  readonly trailers: FieldPairs;
  /** Statuses below 200 that came first. */
  readonly early: readonly number[];
  readonly elapsedMs: number;
}

export interface HttpFailure {
  readonly kind: "failed";
  /** Node's code, or `timeout`. */
  readonly code: string;
}

export type HttpResult = HttpAnswer | HttpFailure;

/** Sends a text and waits until what came back contains another. */
export interface RawStep {
  /** Each character a byte. */
  readonly send: string;
  readonly until?: string;
}

/** Calls that `http-client-process.ts` takes on standard input. */
export interface HttpClientCalls {
  /** The same request many times. */
  readonly call: {
    readonly request: {
      readonly call: HttpCall;
      readonly count: number;
      /** So many connections, each for one request at a time; or all on one HTTP/2 connection. */
      readonly parallel: number;
      /** False: a new connection for each request. */
      readonly reuse: boolean;
    };
    readonly reply: readonly HttpResult[];
  };
  /** Plain bytes on one connection, in steps. */
  readonly raw: {
    readonly request: HttpTarget & {
      readonly steps: readonly RawStep[];
      readonly timeoutMs: number;
    };
    /** All that came back. `isOpen`: the other side had not closed. */
    readonly reply: { readonly text: string; readonly isOpen: boolean };
  };
  /** A WebSocket that says each message once it has heard the one before. */
  readonly websocket: {
    readonly request: {
      readonly url: string;
      readonly messages: readonly string[];
      readonly timeoutMs: number;
    };
    readonly reply: { readonly heard: readonly string[]; readonly end: string };
  };
  /** A gRPC stream that sends each message once it has heard the one before. */
  readonly chat: {
    readonly request: { readonly call: HttpCall; readonly messages: readonly string[] };
    readonly reply: { readonly heard: readonly unknown[]; readonly grpcStatus: string };
  };
}
