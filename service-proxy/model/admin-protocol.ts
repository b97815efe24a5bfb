// What the CLI and a node's process say to each other on the node's UNIX socket: a request is one
// line of JSON, answers are lines of JSON until either side closes. Read-only: nothing here changes
// what the node does.

import { EDGE_COLUMNS, type EdgeLayer, type EdgeNames } from "./edge.ts";
import type { IdentityQuestion } from "./identity-part.ts";
import type { RequestRecord } from "./request-record.ts";

/** Only root reaches it. */
export const ADMIN_SOCKET = "/run/innermesh/node.sock";

export type AdminRequest =
  /** One answer: the sums as they are. */
  | { readonly verb: "top" }
  /** Requests as they end, until the client closes. */
  | { readonly verb: "tap"; readonly filter: TapFilter }
  /** One answer: who has which certificate. */
  | ({ readonly verb: "identity" } & IdentityQuestion)
  /** One answer: who called whom lately, or who was kept from it. */
  | { readonly verb: PolicyRecord };

/** What a node that enforces policies remembers. */
export type PolicyRecord = "edges" | "denials";

/** All that is given must match. */
export interface TapFilter {
  /** `namespace/name`, or `namespace/name:port`. */
  readonly service?: string;
  readonly route?: string;
  readonly source?: string;
  readonly method?: string;
  /** What the path begins with. */
  readonly path?: string;
  /** `404`, or a class: `5xx`. */
  readonly status?: string;
}

export const TAP_FIELDS = [
  "service",
  "route",
  "source",
  "method",
  "path",
  "status",
] as const satisfies readonly (keyof TapFilter)[];

export type AdminAnswer =
  | TopAnswer
  | ({ readonly kind: "request" } & TappedRequest)
  | { readonly kind: "identity"; readonly report: unknown }
  | { readonly kind: "policy"; readonly report: unknown }
  | { readonly kind: "error"; readonly message: string };

export interface TopAnswer {
  readonly kind: "top";
  /** Of a monotonic clock: two answers apart give rates. */
  readonly atMs: number;
  /** What `counts` of each edge are. */
  readonly columns: typeof EDGE_COLUMNS;
  readonly edges: readonly TopEdge[];
  readonly ejected: readonly { readonly service: string; readonly endpoint: string }[];
}

/** Sums since the node's process began. */
export interface TopEdge extends EdgeNames {
  readonly layer: EdgeLayer;
  readonly inFlight: number;
  readonly counts: readonly number[];
  /** Pairs: latency bucket, count. */
  readonly latencies: readonly number[];
}

export interface TappedRequest {
  readonly record: RequestRecord;
  /** Redacted; empty for `tcp`. */
  readonly headers: Readonly<Record<string, string>>;
  /** Requests that matched since the last one told, and were too many to tell. */
  readonly lost: number;
}

/** Reads one line; a text says what is wrong with it. */
export function parseAdminRequest(line: string): AdminRequest | string {
  const value = parseJson(line);
  if (!isRecord(value)) return "Cannot read the request: write one JSON object a line";
  switch (value["verb"]) {
    case "top":
      return { verb: "top" };
    case "tap": {
      const filter = parseTapFilter(value["filter"]);
      return typeof filter === "string" ? filter : { verb: "tap", filter };
    }
    case "identity":
      return { verb: "identity", peers: value["peers"] === true };
    case "edges":
    case "denials":
      return { verb: value["verb"] };
    default: {
      const given = JSON.stringify(value["verb"]);
      return `Cannot do ${given}: the verbs are "top", "tap", "identity", "edges", "denials"`;
    }
  }
}

/** @returns what is wrong with it as a text */
export function parseTapFilter(value: unknown): TapFilter | string {
  if (!isRecord(value)) return "Cannot read the filter: it must be an object";
  const filter: Partial<Record<keyof TapFilter, string>> = {};
  for (const [name, text] of Object.entries(value)) {
    const field = TAP_FIELDS.find((known) => known === name);
    if (field === undefined) return `Cannot filter by "${name}": take ${TAP_FIELDS.join(", ")}`;
    if (typeof text !== "string") return `Cannot filter by "${name}": its value must be a text`;
    filter[field] = text;
  }
  if (filter.status !== undefined && !/^[1-5](xx|\d\d)$/.test(filter.status)) {
    return `Cannot filter by status "${filter.status}": write 404 or 5xx`;
  }
  return filter;
}

/** True when the record has all that the filter asks for. */
export function matchesTap(filter: TapFilter, record: RequestRecord): boolean {
  const { service, route, source, method, path, status } = filter;
  if (service !== undefined && !isService(service, record.service)) return false;
  if (route !== undefined && record.route !== route) return false;
  if (source !== undefined && record.source !== source) return false;
  if (method !== undefined && record.method !== method) return false;
  if (path !== undefined && record.path?.startsWith(path) !== true) return false;
  return status === undefined || isStatus(status, record.status);
}

/** Without a port it stands for all of them. */
function isService(wanted: string, service: string): boolean {
  return service === wanted || service.slice(0, service.lastIndexOf(":")) === wanted;
}

function isStatus(wanted: string, status: number | undefined): boolean {
  const text = String(status);
  return wanted.endsWith("xx") ? text[0] === wanted[0] && status !== undefined : text === wanted;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
