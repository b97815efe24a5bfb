// Makes a record of a request fit to be told: no query, no secrets, nothing endless.

import type { FieldLines } from "../../lib/http/message.ts";
import { redactFields, redactText } from "../../lib/log/redact.ts";
import type { RequestRecord } from "../model/request-record.ts";

const PATH_LIMIT = 1_024;
const AUTHORITY_LIMIT = 255;
/** Request ids and trace contexts of strangers. */
const ID_LIMIT = 128;
const HEADER_LIMIT = 512;
const HEADERS_LIMIT = 64;
/** Beside what `lib/log` takes for secret. */
const SECRET_HEADER = /auth|session|jwt|signature|api-?key|^x-amz-|client-cert/;
const BLOT = "[redacted]";

/** One line of JSON, fields in the order of the schema, at most some 3,000 bytes. */
export function formatAccessLine(record: RequestRecord): string {
  return `${JSON.stringify(clean(record))}\n`;
}

/** The record as others may see it: what the schema names, in its order, and nothing else. */
export function clean(record: RequestRecord): Required<RequestRecord> {
  return {
    time: record.time,
    protocol: record.protocol,
    source: record.source,
    client: record.client,
    service: record.service,
    route: record.route,
    endpoint: record.endpoint,
    method: record.method,
    authority: record.authority?.slice(0, AUTHORITY_LIMIT),
    path: record.path && cleanPath(record.path),
    status: record.status,
    grpcStatus: record.grpcStatus,
    flags: record.flags,
    attempts: record.attempts,
    durationMs: record.durationMs,
    upstreamMs: record.upstreamMs,
    receivedBytes: record.receivedBytes,
    sentBytes: record.sentBytes,
    requestId: record.requestId?.slice(0, ID_LIMIT),
    traceparent: record.traceparent?.slice(0, ID_LIMIT),
    sourceIdentity: record.sourceIdentity,
    endpointIdentity: record.endpointIdentity,
    carrier: record.carrier,
    rule: record.rule,
  };
}

/** Header fields by name; what may be a secret is blotted out. A repeated name keeps its last. */
export function redactHeaders(fields: FieldLines): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (let i = 0; i + 1 < Math.min(fields.length, 2 * HEADERS_LIMIT); i += 2) {
    const [name = "", value = ""] = [fields[i], fields[i + 1]];
    headers[name] = SECRET_HEADER.test(name) ? BLOT : value.slice(0, HEADER_LIMIT);
  }
  return Object.fromEntries(
    Object.entries(redactFields(headers)).map(([name, value]) => [name, String(value)]),
  );
}

function cleanPath(path: string): string {
  const query = path.indexOf("?");
  const end = query < 0 ? PATH_LIMIT : Math.min(query, PATH_LIMIT);
  return redactText(path.slice(0, end));
}
