// Fields that a proxy adds to a request on its way: who asked (X-Forwarded-*), which request it is
// (X-Request-Id), and which trace it belongs to (W3C Trace Context).

import { type FieldLines, fieldValue, type RequestHead } from "../../lib/http/message.ts";

export interface ForwardingFacts {
  readonly clientAddress: string;
  readonly scheme: "http" | "https";
  /** The port that the client dialled. */
  readonly port: number;
  /** So many random bytes as lower-case hexadecimal. */
  readonly randomHex: (lengthBytes: number) => string;
}

/** A request id of others is kept when it looks like one. */
const REQUEST_ID = /^[A-Za-z0-9._~+/=-]{1,128}$/;
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;

/**
 * The request with the fields of this hop. Whatever clients claim about who they are forwarded for
 * is dropped: they are workloads, and nobody has vouched for what they say.
 */
export function addForwardingFields(head: RequestHead, facts: ForwardingFacts): RequestHead {
  const fields: string[] = [];
  const { fields: given } = head;
  const traced = isTraceparent(fieldValue(given, "traceparent"));
  const requestId = fieldValue(given, "x-request-id");
  const keepsId = requestId !== undefined && REQUEST_ID.test(requestId);
  for (let i = 0; i < given.length; i += 2) {
    const name = given[i] ?? "";
    if (isClaim(name) || name === "x-request-id" || name === "traceparent") continue;
    // A state without its parent belongs to no trace.
    if (name === "tracestate" && !traced) continue;
    fields.push(name, given[i + 1] ?? "");
  }
  fields.push("x-forwarded-for", facts.clientAddress, "x-forwarded-proto", facts.scheme);
  if (head.authority !== "") fields.push("x-forwarded-host", head.authority);
  fields.push("x-forwarded-port", `${facts.port}`);
  fields.push("x-request-id", keepsId ? requestId : facts.randomHex(16));
  fields.push("traceparent", traceparent(given, traced, facts));
  return { ...head, fields };
}

function isClaim(name: string): boolean {
  return name === "forwarded" || name === "x-real-ip" || name.startsWith("x-forwarded-");
}

/** Version 00 or a later one; all-zero ids are none. */
function isTraceparent(value: string | undefined): boolean {
  const [, version, trace, parent, rest] = TRACEPARENT.exec(value ?? "") ?? [];
  if (version === undefined || version === "ff" || (version === "00" && rest)) return false;
  return !/^0+$/.test(trace ?? "") && !/^0+$/.test(parent ?? "");
}

/** A trace is passed on as it is: this hop makes no span. One that starts here is not sampled. */
function traceparent(fields: FieldLines, traced: boolean, { randomHex }: ForwardingFacts): string {
  const given = fieldValue(fields, "traceparent");
  return traced && given !== undefined ? given : `00-${randomHex(16)}-${randomHex(8)}-00`;
}
