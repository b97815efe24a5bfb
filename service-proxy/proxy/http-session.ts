// The session of one request under a rule with session persistence: leads it to the endpoint that
// the client was given, and gives the client one when it has none.

import type { FieldLines } from "../../lib/http/message.ts";
import type { RouteMatch, SessionPersistence } from "../model/route-table.ts";
import type { ClientResponse } from "./http-client-stream.ts";
import type { EndpointState } from "./picker-endpoint.ts";
import type { ServedGroup } from "./proxy-tables.ts";
import { readSession, type SessionToken, sessionField } from "./route-session.ts";

export class RequestSession {
  readonly #rule: SessionPersistence;
  readonly #token: SessionToken | undefined;
  readonly #nowMs: number;

  /** @param nowMs wall clock */
  constructor(fields: FieldLines, rule: SessionPersistence, nowMs: number) {
    this.#rule = rule;
    this.#nowMs = nowMs;
    this.#token = readSession(fields, rule, nowMs);
  }

  /** Undefined when there is none, it has gone, or the request failed there. */
  endpointOf(
    { endpoints }: ServedGroup,
    failed: readonly EndpointState[],
  ): EndpointState | undefined {
    const key = this.#token?.endpoint;
    const endpoint = key === undefined ? undefined : endpoints.find(key);
    return endpoint === undefined || failed.includes(endpoint) ? undefined : endpoint;
  }

  /** The response with what the client is to bring back, where that is new. */
  mark(head: ClientResponse, endpoint: string, match: RouteMatch): ClientResponse {
    if (this.#token?.endpoint === endpoint) return head;
    const field = sessionField(this.#rule, { endpoint, startMs: this.#nowMs }, match);
    return { ...head, fields: [...head.fields, ...field] };
  }
}
