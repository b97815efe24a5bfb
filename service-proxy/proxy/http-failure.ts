// What a client is answered when the proxy itself must: statuses, and for gRPC what stands for them
// (google.rpc.Code; GRPCRoute of the Gateway API).

import { type H1Body, NO_BODY } from "../../lib/http/h1-head.ts";
import type { FieldLines } from "../../lib/http/message.ts";
import type { Failure } from "../model/edge.ts";

/** A whole answer of the proxy's own. */
export interface OwnAnswer {
  readonly status: number;
  /** Undefined for plain HTTP. */
  readonly grpcStatus?: number;
  /** Without content-length. */
  readonly fields: FieldLines;
  readonly text: string;
}

/** How the body of an answer is framed. */
export function ownBody({ status, grpcStatus, text }: OwnAnswer): H1Body {
  const isBare = status === 204 || grpcStatus !== undefined;
  return isBare ? NO_BODY : { kind: "length", lengthBytes: text.length };
}

/** Filters that answer state their length as a field. */
export function withoutLength(fields: FieldLines): FieldLines {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== "content-length") kept.push(fields[i] ?? "", fields[i + 1] ?? "");
  }
  return kept;
}

const UNKNOWN = 2;
const DEADLINE_EXCEEDED = 4;
const PERMISSION_DENIED = 7;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;
const UNAVAILABLE = 14;

const ANSWERS: Readonly<Record<Failure, readonly [status: number, grpc: number, text: string]>> = {
  "bad-request": [400, INTERNAL, "bad request"],
  "no-route": [404, UNIMPLEMENTED, "no route matches"],
  "bad-route": [500, UNAVAILABLE, "the route leads nowhere"],
  "no-endpoints": [503, UNAVAILABLE, "no endpoints"],
  "connect-failed": [503, UNAVAILABLE, "no endpoint can be reached"],
  timeout: [504, DEADLINE_EXCEEDED, "timeout"],
  reset: [502, UNAVAILABLE, "the endpoint broke off"],
  limit: [503, UNAVAILABLE, "too many requests under way"],
  "retry-budget": [503, UNAVAILABLE, "too many retries under way"],
  cancelled: [499, UNKNOWN, "cancelled"],
  denied: [403, PERMISSION_DENIED, "denied"],
};

export function answerOfFailure(failure: Failure, isGrpc: boolean): OwnAnswer {
  const [status, grpcStatus, text] = ANSWERS[failure];
  return isGrpc ? grpcAnswer(grpcStatus, text) : plainAnswer(status, text);
}

export function plainAnswer(status: number, text: string): OwnAnswer {
  return { status, fields: ["content-type", "text/plain"], text: `${text}\n` };
}

function grpcAnswer(grpcStatus: number, message: string): OwnAnswer {
  const fields = [
    "content-type",
    "application/grpc",
    "grpc-status",
    `${grpcStatus}`,
    "grpc-message",
    message,
  ];
  return { status: 200, grpcStatus, fields, text: "" };
}

/** The code in a head or trailers; undefined without one. */
export function grpcStatusOf(fields: FieldLines): number | undefined {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === "grpc-status") return Number.parseInt(fields[i + 1] ?? "", 10);
  }
  return undefined;
}
