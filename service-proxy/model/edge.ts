// An edge: who talks to whom, for which route. What is counted of it, by names that come from plans
// alone: nothing that a client sends ever becomes one, so no flood of hosts or paths adds an edge.

/** `http` edges count requests, `tcp` edges count client connections. */
export type EdgeLayer = "http" | "tcp";

export interface EdgeNames {
  /** Namespace of the client's pod, or one of SOURCES. */
  readonly source: string;
  /**
   * `namespace/name:port`; of a pod's own port where requests are judged, whichever way they came,
   * `ServiceAccount namespace/name:port`: no Service is named so.
   */
  readonly service: string;
  /** `HTTPRoute shop/canary`; empty for the Service itself. */
  readonly route: string;
  /** `address:port`; empty when none was chosen. */
  readonly endpoint: string;
}

/** Sources that are no namespace; no namespace can be named so. */
export const SOURCES = {
  /** A process of this node. */
  host: "(host)",
  /** From outside the cluster, through a NodePort or load balancer. */
  outside: "(outside)",
  /** An address that the plan does not know. */
  unknown: "(unknown)",
} as const;

/** Stands for every edge beyond the limit, in each of its names. */
export const OTHER = "(other)";

/** Why the proxy itself ended a request or connection; also what an access line is flagged with. */
export const FAILURES = [
  /** Not HTTP, or HTTP that means two things. */
  "bad-request",
  /** The table has rules and none matches. */
  "no-route",
  /** The route's reference leads nowhere. */
  "bad-route",
  "no-endpoints",
  "connect-failed",
  "timeout",
  /** The endpoint broke off. */
  "reset",
  /** A connection or circuit limit. */
  "limit",
  /** It would have been tried again. */
  "retry-budget",
  /** The client gave up. */
  "cancelled",
  /** Not allowed, or unproven where proof is demanded. */
  "denied",
] as const;

export type Failure = (typeof FAILURES)[number];

/**
 * How a request or connection ended: `ok` for a connection that closed in order, a class of HTTP
 * status as the endpoint answered (gRPC: what its status means), else the failure.
 */
export const RESULTS = ["ok", "2xx", "3xx", "4xx", "5xx", ...FAILURES] as const;

export type Result = (typeof RESULTS)[number];

/** Counters of one edge beside its results; `latencyMs` is the sum over the histogram. */
export const EDGE_SUMS = [
  "retries",
  "ejections",
  "receivedBytes",
  "sentBytes",
  "latencyMs",
  /** Requests or connections whose both ends were proven: by certificates, or by this node. */
  "tunnelled",
  "inNode",
] as const;

export type EdgeSum = (typeof EDGE_SUMS)[number];

/** The columns of an edge, in the order they are sent: results, then sums. */
export const EDGE_COLUMNS: readonly (Result | EdgeSum)[] = [...RESULTS, ...EDGE_SUMS];

/** What happened on one edge since the worker told last. */
export interface EdgeDelta extends EdgeNames {
  readonly layer: EdgeLayer;
  /** How many more, or fewer, requests or connections are under way. */
  readonly inFlight: number;
  /** Pairs: index in EDGE_COLUMNS, amount. */
  readonly counts: readonly number[];
  /** Pairs: latency bucket, count. */
  readonly latencies: readonly number[];
}

/** One worker's message: differences since its last, so that its death takes nothing back. */
export interface TelemetryMessage {
  readonly edges: readonly EdgeDelta[];
  /** Out of service now: pairs of `namespace/name:port` and `address:port`. */
  readonly ejected: readonly (readonly [service: string, endpoint: string])[];
  /** Access log lines not written since the last message. */
  readonly accessLogLost: number;
}

/** The class of an HTTP status; 101 counts as a success. */
export function resultOfStatus(status: number): Result {
  if (status < 300) return "2xx";
  if (status < 400) return "3xx";
  return status < 500 ? "4xx" : "5xx";
}

/**
 * The class of a gRPC status by its standard HTTP mapping (google.rpc.Code); what is no known code
 * counts as 5xx.
 */
export function resultOfGrpcStatus(code: number): Result {
  if (code === 0) return "2xx";
  if (code === 1) return "cancelled";
  return [3, 5, 6, 7, 8, 9, 10, 11, 16].includes(code) ? "4xx" : "5xx";
}
