// One request's record, for tests.

import type { RequestRecord } from "./request-record.ts";

export function sampleRecord(changes: Partial<RequestRecord> = {}): RequestRecord {
  return {
    time: "2026-11-21T10:00:00.000Z",
    protocol: "http1",
    source: "shop",
    client: "10.1.0.1",
    service: "default/web:80",
    route: "HTTPRoute default/canary",
    endpoint: "10.0.0.1:8080",
    method: "GET",
    authority: "web",
    path: "/cart",
    status: 200,
    flags: [],
    attempts: 1,
    durationMs: 3.5,
    upstreamMs: 3,
    receivedBytes: 0,
    sentBytes: 120,
    ...changes,
  };
}
