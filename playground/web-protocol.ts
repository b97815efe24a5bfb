// What the demo's web peers are told by their parent: serve gRPC or HTTP, call gRPC.

/** A network namespace to listen in, and the pod to speak for. */
export interface WebServer {
  readonly netns: string;
  readonly pod: string;
  readonly port: number;
}

/** Unary calls, all on one connection. */
export interface UnaryLoad {
  readonly address: string;
  readonly port: number;
  readonly count: number;
  readonly parallel: number;
}

/** Who answered how often; a call that did not end in grpc-status 0 counts as failed. */
export interface UnaryReport {
  readonly pods: Readonly<Record<string, number>>;
  readonly failed: number;
}

/** Calls that `web-peer.ts` takes on standard input. */
export interface WebCalls {
  /** Answers every unary call, over HTTP/2 without TLS, with its pod's name. */
  readonly "serve-grpc": { readonly request: WebServer; readonly reply: null };
  /** Counts HTTP/1.1 requests and answers 200, or what it is told to. */
  readonly "serve-http": { readonly request: WebServer; readonly reply: null };
  readonly answer: {
    readonly request: { readonly pod: string; readonly status: number };
    readonly reply: null;
  };
  /** How many HTTP requests a pod got for a path. */
  readonly requests: {
    readonly request: { readonly pod: string; readonly path: string };
    readonly reply: number;
  };
  readonly "call-grpc": { readonly request: UnaryLoad; readonly reply: UnaryReport };
}
