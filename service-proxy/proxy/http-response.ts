// What a route's filters make of an endpoint's response.

import type { RequestHead } from "../../lib/http/message.ts";
import type { RouteBackend, RouteRule } from "../model/route-table.ts";
import type { ClientResponse } from "./http-client-stream.ts";
import { applyCors } from "./route-cors.ts";
import { filterResponse } from "./route-filters.ts";

/** @param request as the client sent it */
export function filterForClient(
  head: ClientResponse,
  request: RequestHead,
  { rule, backend }: { readonly rule: RouteRule; readonly backend: RouteBackend },
): ClientResponse {
  if (rule.filters.length === 0 && backend.filters.length === 0) return head;
  let { fields } = filterResponse(head, rule, backend);
  for (const filter of rule.filters) {
    if (filter.kind !== "cors") continue;
    fields = applyCors({ status: head.status, fields }, request, filter.policy).fields;
  }
  return { ...head, fields };
}
