// What an HTTP backend of the route tests says it saw, and what its parent says to it. A request
// asks for the behaviour it wants in its field `x-behave`, and is remembered under its `x-case`.

/** Name and value, names in lower case, in the order of the wire. */
export type FieldPairs = readonly (readonly [name: string, value: string])[];

/** Ports of every backend. */
export const HTTP1_PORT = 8080;
export const HTTP2_PORT = 8081;
/** Nobody listens there. */
export const DEAD_PORT = 7777;

/** One request as a backend read it: the body of the usual answer, as JSON. */
export interface SeenRequest {
  readonly pod: string;
  readonly protocol: "http1" | "http2";
  readonly method: string;
  readonly path: string;
  /** Host or `:authority`. */
  readonly host: string;
  readonly fields: FieldPairs;
  readonly bodyBytes: number;
  /** SHA-256, hexadecimal. */
  readonly bodyHash: string;
  readonly trailers: FieldPairs;
  /** The peer's address, which the proxy chose. */
  readonly client: string;
  /** Distinguishes connections to one backend. */
  readonly connection: number;
}

/** Calls that `http-backend-process.ts` takes on standard input. */
export interface HttpBackendCalls {
  /** Opens both ports in a namespace; resolves when they listen. */
  readonly serve: {
    readonly request: { readonly pod: string; readonly netns: string };
    readonly reply: null;
  };
  /** All requests of one case so far, whichever pod saw them, in the order of their heads. */
  readonly seen: {
    readonly request: { readonly id: string };
    readonly reply: readonly SeenRequest[];
  };
}
