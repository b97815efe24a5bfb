// The filters of HTTPRoute and GRPCRoute, as they are written: modifiers of headers, redirect,
// rewrite, mirror, CORS (GEP-1767). Filters that nothing here implements are faults of the rule.

import { asPort, asRecord, formatValue, type JsonRecord } from "./fields.ts";
import { type HttpCorsPolicy, readCorsPolicy } from "./http-route-cors.ts";
import {
  type BackendTarget,
  type RuleReader,
  readBackendTarget,
  readRuleList,
} from "./route-fields.ts";
import { asHeaderName, isFieldValue, isHostname, isRoutePath } from "./route-values.ts";

export type HttpRouteFilter =
  | { readonly kind: "request-headers"; readonly change: HeaderModifier }
  | { readonly kind: "response-headers"; readonly change: HeaderModifier }
  | HttpRedirect
  | { readonly kind: "rewrite"; readonly hostname?: string; readonly path?: HttpPathModifier }
  /** `share` of the requests, 0–1. */
  | { readonly kind: "mirror"; readonly target: BackendTarget; readonly share: number }
  | { readonly kind: "cors"; readonly policy: HttpCorsPolicy };

export interface HttpRedirect {
  readonly kind: "redirect";
  readonly scheme?: "http" | "https";
  readonly hostname?: string;
  readonly port?: number;
  readonly path?: HttpPathModifier;
  readonly status: RedirectStatus;
}

export type RedirectStatus = 301 | 302 | 303 | 307 | 308;

/** Names are lower-case; each stands in one of the three only. */
export interface HeaderModifier {
  readonly set: readonly (readonly [string, string])[];
  readonly add: readonly (readonly [string, string])[];
  readonly remove: readonly string[];
}

export type HttpPathModifier =
  | { readonly kind: "full"; readonly value: string }
  /** Replaces what the rule's prefix matched; may be empty. */
  | { readonly kind: "prefix"; readonly value: string };

const MAX_FILTERS = 16;
const MAX_HEADERS = 16;

/** Fields that say how a message is framed and routed: changing one splits or smuggles messages. */
const FRAMING = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** The filters that each place may have; any other there is a fault of the rule. */
const GRPC = ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror"];
const ALLOWED = {
  GRPCRoute: GRPC,
  /** A chosen backend is past the answers that redirect and CORS would give in its place. */
  "HTTPRoute backend": [...GRPC, "URLRewrite"],
  HTTPRoute: [...GRPC, "URLRewrite", "RequestRedirect", "CORS"],
} as const;

/** @param place of a GRPCRoute, backends have the same filters as rules */
export function readFilters(
  value: unknown,
  field: string,
  rule: RuleReader,
  place: keyof typeof ALLOWED,
): readonly HttpRouteFilter[] {
  const filters: HttpRouteFilter[] = [];
  for (const [i, item] of readRuleList(value, field, MAX_FILTERS, rule).entries()) {
    const fields = asRecord(item);
    const { type } = fields;
    if (!ALLOWED[place].some((one) => one === type)) {
      // Also ExtensionRef and ExternalAuth: a filter that cannot be run must not be skipped.
      const message = `want a filter that a ${place} may have: got ${formatValue(type)}`;
      rule.reject(`${field}[${i}].type`, message);
      continue;
    }
    const filter = readFilter(fields, `${field}[${i}]`, rule);
    if (filter !== undefined) filters.push(filter);
  }
  rejectIncompatible(filters, field, rule);
  return filters;
}

/** Each kind but mirrors stands once; a redirect answers, so there is nothing left to rewrite. */
function rejectIncompatible(
  filters: readonly HttpRouteFilter[],
  field: string,
  rule: RuleReader,
): void {
  const kinds = filters.map(({ kind }) => kind).filter((kind) => kind !== "mirror");
  const twice = kinds.find((kind, i) => kinds.indexOf(kind) !== i);
  if (twice !== undefined) {
    rule.reject(field, `want each filter once: got ${twice} twice`, "IncompatibleFilters");
  }
  if (kinds.includes("redirect") && kinds.includes("rewrite")) {
    const message = "want RequestRedirect or URLRewrite: got both";
    rule.reject(field, message, "IncompatibleFilters");
  }
}

function readFilter(
  fields: JsonRecord,
  field: string,
  rule: RuleReader,
): HttpRouteFilter | undefined {
  const { type } = fields;
  switch (type) {
    case "RequestHeaderModifier": {
      const at = `${field}.requestHeaderModifier`;
      const change = readModifier(asRecord(fields["requestHeaderModifier"]), at, rule);
      return { kind: "request-headers", change };
    }
    case "ResponseHeaderModifier": {
      const at = `${field}.responseHeaderModifier`;
      const change = readModifier(asRecord(fields["responseHeaderModifier"]), at, rule);
      return { kind: "response-headers", change };
    }
    case "RequestRedirect":
      return readRedirect(asRecord(fields["requestRedirect"]), `${field}.requestRedirect`, rule);
    case "URLRewrite": {
      const rewrite = asRecord(fields["urlRewrite"]);
      return { kind: "rewrite", ...readTarget(rewrite, `${field}.urlRewrite`, rule) };
    }
    case "RequestMirror":
      return readMirror(asRecord(fields["requestMirror"]), `${field}.requestMirror`, rule);
    case "CORS":
      return {
        kind: "cors",
        policy: readCorsPolicy(asRecord(fields["cors"]), `${field}.cors`, rule),
      };
    default:
      return undefined;
  }
}

function readModifier(fields: JsonRecord, field: string, rule: RuleReader): HeaderModifier {
  const seen = new Set<string>();
  const readName = (value: unknown, at: string): string | undefined => {
    const name = asHeaderName(value);
    if (name === undefined || FRAMING.has(name)) {
      return rule.reject(at, `want a header that may be modified: got ${formatValue(value)}`);
    }
    if (seen.has(name)) return rule.reject(at, `want one action for each header: got ${name}`);
    seen.add(name);
    return name;
  };
  const readPairs = (list: "set" | "add"): readonly (readonly [string, string])[] =>
    readRuleList(fields[list], `${field}.${list}`, MAX_HEADERS, rule).flatMap((item, i) => {
      const pair = asRecord(item);
      const name = readName(pair["name"], `${field}.${list}[${i}].name`);
      const { value } = pair;
      if (name === undefined) return [];
      if (isFieldValue(value)) return [[name, value] as const];
      const got = formatValue(value);
      rule.reject(`${field}.${list}[${i}].value`, `want printable ASCII: got ${got}`);
      return [];
    });
  const removed = readRuleList(fields["remove"], `${field}.remove`, MAX_HEADERS, rule);
  return {
    set: readPairs("set"),
    add: readPairs("add"),
    remove: removed.flatMap((value, i) => {
      const name = readName(value, `${field}.remove[${i}]`);
      return name === undefined ? [] : [name];
    }),
  };
}

function readRedirect(fields: JsonRecord, field: string, rule: RuleReader): HttpRedirect {
  const scheme = fields["scheme"] ?? undefined;
  if (scheme !== undefined && scheme !== "http" && scheme !== "https") {
    rule.reject(`${field}.scheme`, `want http or https: got ${formatValue(scheme)}`);
  }
  const port = asPort(fields["port"]);
  if (port === undefined && (fields["port"] ?? undefined) !== undefined) {
    const got = formatValue(fields["port"]);
    rule.reject(`${field}.port`, `want a number, 1 to 65535: got ${got}`);
  }
  const status = fields["statusCode"] ?? 302;
  if (!isRedirectStatus(status)) {
    rule.reject(
      `${field}.statusCode`,
      `want 301, 302, 303, 307 or 308: got ${formatValue(status)}`,
    );
  }
  return {
    kind: "redirect",
    ...((scheme === "http" || scheme === "https") && { scheme }),
    ...readTarget(fields, field, rule),
    ...(port !== undefined && { port }),
    status: isRedirectStatus(status) ? status : 302,
  };
}

function isRedirectStatus(status: unknown): status is RedirectStatus {
  return [301, 302, 303, 307, 308].some((one) => one === status);
}

/** Hostname and path, which redirects and rewrites name alike. */
function readTarget(
  fields: JsonRecord,
  field: string,
  rule: RuleReader,
): { readonly hostname?: string; readonly path?: HttpPathModifier } {
  const hostname = fields["hostname"] ?? undefined;
  if (hostname !== undefined && !isHostname(hostname)) {
    rule.reject(`${field}.hostname`, `want a hostname: got ${formatValue(hostname)}`);
  }
  const given = fields["path"] ?? undefined;
  const path =
    given === undefined ? undefined : readPathModifier(asRecord(given), `${field}.path`, rule);
  return { ...(isHostname(hostname) && { hostname }), ...(path !== undefined && { path }) };
}

function readPathModifier(
  fields: JsonRecord,
  field: string,
  rule: RuleReader,
): HttpPathModifier | undefined {
  const { type, replaceFullPath, replacePrefixMatch } = fields;
  if (type === "ReplaceFullPath") {
    if (isRoutePath(replaceFullPath)) return { kind: "full", value: replaceFullPath };
    const got = formatValue(replaceFullPath);
    return rule.reject(`${field}.replaceFullPath`, `want a path like /a: got ${got}`);
  }
  if (type === "ReplacePrefixMatch") {
    if (replacePrefixMatch === "" || isRoutePath(replacePrefixMatch)) {
      return { kind: "prefix", value: replacePrefixMatch };
    }
    const got = formatValue(replacePrefixMatch);
    return rule.reject(`${field}.replacePrefixMatch`, `want a path like /a: got ${got}`);
  }
  const got = formatValue(type);
  return rule.reject(`${field}.type`, `want ReplaceFullPath or ReplacePrefixMatch: got ${got}`);
}

function readMirror(
  fields: JsonRecord,
  field: string,
  rule: RuleReader,
): HttpRouteFilter | undefined {
  const { percent, fraction } = fields;
  const target = readBackendTarget(asRecord(fields["backendRef"]), `${field}.backendRef`, rule);
  const has = (value: unknown): boolean => value !== undefined && value !== null;
  if (has(percent) && has(fraction)) {
    return rule.reject(field, "want percent or fraction: got both");
  }
  const { numerator, denominator = 100 } = asRecord(fraction);
  const [part, whole] = has(fraction) ? [numerator, denominator] : [percent ?? 100, 100];
  const share = Number(part) / Number(whole);
  const valid = Number.isInteger(part) && Number.isInteger(whole) && share >= 0 && share <= 1;
  if (valid) return { kind: "mirror", target, share };
  return rule.reject(field, "want a share of the requests between none and all");
}
