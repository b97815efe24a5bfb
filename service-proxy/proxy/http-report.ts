// Tells of a request that ended: the access log, and those who watch.

import { fieldValue, type RequestHead } from "../../lib/http/message.ts";
import type { StreamProof } from "../../lib/reactor/byte-stream.ts";
import type { Failure } from "../model/edge.ts";
import type { RequestRecord } from "../model/request-record.ts";
import { normalisePath, withoutQuery } from "../model/route-path.ts";
import type { HttpParts, OnRequest } from "./http-parts.ts";
import type { HttpDoor } from "./http-routing.ts";
import { hostOf } from "./route-condition.ts";

export interface RequestFacts {
  readonly protocol: "http1" | "http2";
  readonly isTunnel: boolean;
  readonly received: RequestHead;
  /** Undefined when it was not sent on. */
  readonly forwarded: RequestHead | undefined;
  readonly route: string;
  readonly endpoint: string;
  readonly status: number;
  readonly grpcStatus: number | undefined;
  readonly failure: Failure | undefined;
  readonly deniedBy: string | undefined;
  readonly budgetExhausted: boolean;
  readonly attempts: number;
  readonly durationMs: number;
  readonly upstreamMs: number | undefined;
  /** Who is at both ends of the connection to the endpoint, where that is proven. */
  readonly proof: StreamProof | undefined;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** Costs four comparisons where nobody wants to know. */
export function reportRequest(parts: HttpParts, door: HttpDoor, facts: RequestFacts): void {
  const { accessLog, taps, onDenied, onRequest, random, reactor, wallMs } = parts;
  if (onRequest !== undefined) tellRequest(onRequest, door, facts);
  const isLogged = accessLog.wants(random());
  const isDenied = facts.failure === "denied";
  if (!isLogged && !isDenied && !taps.active) return;
  const record = recordOf(door, facts, wallMs() - facts.durationMs);
  if (isLogged) accessLog.add(record);
  if (isDenied) onDenied(record);
  taps.offer(record, facts.received.fields, reactor.nowMs);
}

/** Others than pods may come to the endpoint by another address than theirs. */
function tellRequest(
  onRequest: OnRequest,
  { client }: HttpDoor,
  { received, forwarded, endpoint }: RequestFacts,
): void {
  if (client.kind !== "pod" || endpoint === "") return;
  const head = forwarded ?? received;
  const path = normalisePath(head.path);
  if (path === undefined) return;
  const request = { method: head.method, host: hostOf(head), path: withoutQuery(path) };
  onRequest(client.address, endpoint, request);
}

function recordOf(door: HttpDoor, facts: RequestFacts, beganMs: number): RequestRecord {
  const { received, forwarded, upstreamMs, proof } = facts;
  return {
    time: new Date(beganMs).toISOString(),
    protocol: protocolOf(facts),
    source: door.client.source,
    client: door.client.address,
    service: door.guard === undefined ? door.service : "",
    route: facts.route,
    endpoint: facts.endpoint,
    method: received.method,
    authority: received.authority,
    path: received.path,
    status: facts.status === 0 ? undefined : facts.status,
    grpcStatus: facts.grpcStatus,
    flags: flagsOf(facts),
    attempts: facts.attempts,
    durationMs: rounded(facts.durationMs),
    upstreamMs: upstreamMs === undefined ? undefined : rounded(upstreamMs),
    receivedBytes: facts.receivedBytes,
    sentBytes: facts.sentBytes,
    requestId: forwarded && fieldValue(forwarded.fields, "x-request-id"),
    traceparent: forwarded && fieldValue(forwarded.fields, "traceparent"),
    sourceIdentity: proof?.source,
    endpointIdentity: proof?.endpoint,
    carrier: proof?.carrier,
    rule: facts.deniedBy,
  };
}

function flagsOf({ failure, budgetExhausted }: RequestFacts): readonly Failure[] {
  const flags: readonly Failure[] = budgetExhausted ? ["retry-budget"] : [];
  return failure === undefined ? flags : [...flags, failure];
}

/** To microseconds: what is behind them is noise. */
function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}

function protocolOf({ isTunnel, grpcStatus, protocol }: RequestFacts): RequestRecord["protocol"] {
  if (isTunnel) return "websocket";
  return grpcStatus === undefined ? protocol : "grpc";
}
