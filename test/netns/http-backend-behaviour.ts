// What a request may ask of the backend it reaches: `x-behave: status=503&first=2`.

/** How a backend answers one request. */
export interface Behaviour {
  /** Of gRPC: the gRPC status. */
  readonly status: number | undefined;
  /** Before the answer's head. */
  readonly delayMs: number;
  /** Breaks the connection in place of an answer. */
  readonly reset: boolean;
  /** Answers before it has read the request's body. */
  readonly early: boolean;
  /** The answer's body is of so many bytes in place of what was seen. */
  readonly sizeBytes: number | undefined;
  /** The answer has no length, and the trailer `x-sum: done`. */
  readonly trailers: boolean;
  /** Fields of the answer. */
  readonly fields: readonly (readonly [string, string])[];
  /** Pods that behave so; all when empty. */
  readonly pods: readonly string[];
  /** Only the first so many requests of a case are treated so. */
  readonly first: number;
}

/** @param text like a query: `delay=100`, `header=a:b` (as often as needed) */
export function parseBehaviour(text: string): Behaviour {
  const query = new URLSearchParams(text);
  const number = (name: string): number | undefined => {
    const value = query.get(name);
    return value === null ? undefined : Number(value);
  };
  return {
    status: number("status"),
    delayMs: number("delay") ?? 0,
    reset: query.has("reset"),
    early: query.has("early"),
    sizeBytes: number("size"),
    trailers: query.has("trailers"),
    fields: query.getAll("header").map((pair) => {
      const colon = pair.indexOf(":");
      return [pair.slice(0, colon), pair.slice(colon + 1)] as const;
    }),
    pods: query.getAll("pod"),
    first: number("first") ?? Number.POSITIVE_INFINITY,
  };
}

/** A body whose every part differs from the others, so that no mix-up goes unseen. */
export function patternBody(sizeBytes: number): Buffer {
  const body = Buffer.alloc(sizeBytes);
  for (let i = 0; i < sizeBytes; i++) body[i] = (i * 31 + (i >> 8)) & 0xff;
  return body;
}
