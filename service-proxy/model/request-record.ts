// What is told of one request, or one relayed connection: the access log's line and the tap's. The
// one schema: its fields, their order and docs/access-log.md come from here.

import type { Failure } from "./edge.ts";

export interface RequestRecord {
  readonly time: string;
  readonly protocol: "http1" | "http2" | "grpc" | "websocket" | "tcp" | "tls" | "hbone";
  readonly source: string;
  readonly client: string;
  readonly service: string;
  readonly route: string;
  readonly endpoint: string;
  readonly method?: string | undefined;
  readonly authority?: string | undefined;
  readonly path?: string | undefined;
  readonly status?: number | undefined;
  readonly grpcStatus?: number | undefined;
  readonly flags: readonly Failure[];
  readonly attempts: number;
  readonly durationMs: number;
  readonly upstreamMs?: number | undefined;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly requestId?: string | undefined;
  readonly traceparent?: string | undefined;
  readonly sourceIdentity?: string | undefined;
  readonly endpointIdentity?: string | undefined;
  readonly carrier?: "tunnel" | "node" | "plaintext" | undefined;
  readonly rule?: string | undefined;
}

/** Every field of a line and what it means, in the order of lines. */
export const REQUEST_FIELDS: Readonly<Record<keyof RequestRecord, string>> = {
  time: "When it began, RFC 3339 with milliseconds, UTC.",
  protocol:
    "`http1`, `http2`, `grpc`, `websocket`, `tcp` or `tls`, as the client spoke it; `hbone` " +
    "where a tunnel of another node arrived.",
  source: "Namespace of the client's pod, `(host)`, `(outside)` or `(unknown)`.",
  client: "The client's address.",
  service: "`namespace/name:port` that was dialled.",
  route: "The route that matched, `HTTPRoute shop/canary`; empty for the Service itself.",
  endpoint: "`address:port` of the last attempt; empty when none was chosen.",
  method: "The request's method.",
  authority: "`:authority` or Host: for `tls` the server name. At most 255 characters.",
  path: "Without the query, which may hold secrets. At most 1,024 characters.",
  status: "Status sent to the client.",
  grpcStatus: "The `grpc-status` sent to the client.",
  flags: "Why it failed, if it did: the same words as the `result` label of the metrics.",
  attempts: "How many times it was sent; 0 when no endpoint was asked.",
  durationMs: "From the head of the request to the end of the response.",
  upstreamMs: "From the last attempt to the head of its response; for `tcp` the time to connect.",
  receivedBytes: "Body bytes received from the client.",
  sentBytes: "Body bytes sent to the client.",
  requestId: "`x-request-id` as it was forwarded.",
  traceparent: "W3C trace context as it was forwarded.",
  sourceIdentity: "SPIFFE ID of the client, where it is known.",
  endpointIdentity: "SPIFFE ID of the endpoint, where it is known.",
  carrier:
    "What proves the identities: `tunnel`, their certificates; `node`, both pods are of this " +
    "node; `plaintext`, nothing.",
  rule: "Of a policy: what denied it, or wants it to be told (`audit`), where this node knows.",
};

/** A Markdown table of the fields. */
export function formatRequestFields(): string {
  const rows = Object.entries(REQUEST_FIELDS).map(([name, help]) => `| \`${name}\` | ${help} |\n`);
  return `| Field | Meaning |\n|---|---|\n${rows.join("")}`;
}
