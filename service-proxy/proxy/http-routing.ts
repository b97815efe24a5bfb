// From a request's head to what is done with it: forwarded to a group, or answered here. What is
// matched is what is forwarded: the path is brought into its normal form first.

import type { RequestHead, ResponseHead } from "../../lib/http/message.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import type { Failure } from "../model/edge.ts";
import type { FrontendSide } from "../model/proxy-plan.ts";
import { normalisePath } from "../model/route-path.ts";
import type { RouteBackend, RouteRule } from "../model/route-table.ts";
import type { Client } from "./client.ts";
import type { RequestGuard } from "./guarded-http-requests.ts";
import { RequestSession } from "./http-session.ts";
import type { ProxyTables, ServedGroup, ServedPort } from "./proxy-tables.ts";
import { chooseBackend, isMirrored } from "./route-choice.ts";
import { answerPreflight } from "./route-cors.ts";
import { filterRequest } from "./route-filters.ts";
import { addForwardingFields } from "./route-forwarding.ts";
import { redirectTo } from "./route-redirect.ts";

/** What does not change from request to request of one client connection. */
export interface HttpDoor {
  readonly client: Client;
  readonly side: FrontendSide;
  readonly port: ServedPort;
  /** The address that the client dialled. */
  readonly dialled: SocketAddress;
  /** What counts call it, and logs: a Service port; a guarded port by its pod, in counts alone. */
  readonly service: string;
  /** Serves what no route is for. */
  readonly defaultRule: RouteRule;
  /** Judges each request, of a port with rules about them; no route counts there. */
  readonly guard?: RequestGuard;
}

/** A request on its way. */
export interface Forwarded {
  readonly kind: "forward";
  readonly rule: RouteRule;
  readonly backend: RouteBackend;
  readonly group: ServedGroup;
  /** As it is sent. */
  readonly head: RequestHead;
  readonly mirrors: readonly ServedGroup[];
  /** Undefined where the rule keeps none. */
  readonly session: RequestSession | undefined;
}

export type Routed =
  | Forwarded
  /** Answered by a filter. */
  | { readonly kind: "answer"; readonly rule: RouteRule; readonly head: ResponseHead }
  | {
      readonly kind: "failure";
      readonly rule: RouteRule | undefined;
      readonly failure: Failure;
      /** The policy's rule. */
      readonly deniedBy?: string;
    };

/** Where routes lead, and what they leave to chance and to the clock. */
export interface RoutingParts {
  readonly tables: ProxyTables;
  /** In [0, 1). */
  readonly random: () => number;
  /** Wall clock, in milliseconds. */
  readonly wallMs: () => number;
}

const NO_MIRRORS: readonly ServedGroup[] = [];

/** The rule of a port without routes. */
export function defaultRule(side: FrontendSide): RouteRule {
  return {
    route: "",
    rule: "",
    match: { hostnames: [], headers: [], queryParams: [] },
    filters: [],
    backends: [{ group: side.group, weight: 1, filters: [] }],
    timeouts: {},
    grpc: false,
  };
}

export function routeRequest(
  received: RequestHead,
  door: HttpDoor,
  { tables, random, wallMs }: RoutingParts,
): Routed {
  const path = normalisePath(received.path);
  if (path === undefined) return { kind: "failure", rule: undefined, failure: "bad-request" };
  const head = path === received.path ? received : { ...received, path };
  const rule = ruleFor(head, door, tables);
  if (rule === undefined) return { kind: "failure", rule, failure: "no-route" };
  const answer = answerOfFilters(head, rule, door);
  if (answer !== undefined) return { kind: "answer", rule, head: answer };
  const session = sessionOf(head, rule, wallMs);
  const backend = backendFor(rule, session, tables);
  if (backend?.group === undefined || backend.weight === 0) {
    return { kind: "failure", rule, failure: "bad-route" };
  }
  const group = tables.group(backend.group);
  if (group === undefined) return { kind: "failure", rule, failure: "no-endpoints" };
  const forwarded = addForwardingFields(head, {
    clientAddress: door.client.address,
    scheme: "http",
    port: door.dialled.port,
    randomHex: (lengthBytes) => randomHex(lengthBytes, random),
  });
  return {
    kind: "forward",
    rule,
    backend,
    group,
    head: filterRequest(forwarded, rule, backend),
    mirrors: mirrorsOf(rule, backend, tables, random),
    session,
  };
}

/** Plans change under connections that last: the port is looked up for each request. */
function ruleFor(head: RequestHead, door: HttpDoor, tables: ProxyTables): RouteRule | undefined {
  const { matcher } = tables.port(door.port.key) ?? door.port;
  const { namespace } = door.client;
  if (matcher?.appliesTo(namespace) !== true) return door.defaultRule;
  return matcher.match(head, namespace);
}

function sessionOf(
  { fields }: RequestHead,
  { sessionPersistence }: RouteRule,
  wallMs: () => number,
): RequestSession | undefined {
  if (sessionPersistence === undefined) return undefined;
  return new RequestSession(fields, sessionPersistence, wallMs());
}

/** A session leads back to the backend that has its endpoint, whatever the weights are now. */
function backendFor(
  { backends }: RouteRule,
  session: RequestSession | undefined,
  tables: ProxyTables,
): RouteBackend | undefined {
  if (backends.length === 1) return backends[0];
  const kept = session && backends.find((one) => hasSession(one, session, tables));
  return kept ?? chooseBackend(backends, tables.nextShare(backends));
}

function hasSession(
  { group, weight }: RouteBackend,
  session: RequestSession,
  tables: ProxyTables,
): boolean {
  const served = group === undefined || weight === 0 ? undefined : tables.group(group);
  return served !== undefined && session.endpointOf(served, []) !== undefined;
}

function answerOfFilters(
  head: RequestHead,
  rule: RouteRule,
  door: HttpDoor,
): ResponseHead | undefined {
  for (const filter of rule.filters) {
    if (filter.kind === "cors") {
      const preflight = answerPreflight(head, filter.policy);
      if (preflight !== undefined) return preflight;
    } else if (filter.kind === "redirect") {
      return redirectTo(head, filter, rule, { scheme: "http", port: door.dialled.port });
    }
  }
  return undefined;
}

function mirrorsOf(
  rule: RouteRule,
  backend: RouteBackend,
  tables: ProxyTables,
  random: () => number,
): readonly ServedGroup[] {
  if (rule.filters.length === 0 && backend.filters.length === 0) return NO_MIRRORS;
  const mirrors: ServedGroup[] = [];
  for (const filter of [...rule.filters, ...backend.filters]) {
    if (filter.kind !== "mirror" || !isMirrored(filter.share, random())) continue;
    const group = tables.group(filter.group);
    if (group !== undefined) mirrors.push(group);
  }
  return mirrors;
}

/** Each byte as two digits. */
const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  byte.toString(16).padStart(2, "0"),
);

/** Four bytes at a time: ids must differ, not be secret. */
function randomHex(lengthBytes: number, random: () => number): string {
  let text = "";
  for (let i = 0; i < lengthBytes; i += 4) {
    const word = random() * 0x1_0000_0000;
    for (let shift = 24; shift >= 0; shift -= 8) text += HEX[(word >>> shift) & 255];
  }
  return text;
}
