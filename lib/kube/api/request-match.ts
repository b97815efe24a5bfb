// Conditions on HTTP requests inside a ServiceAccountPolicy: methods, paths, hosts, header fields,
// and gRPC methods, which are paths.

import { asText, formatValue } from "./fields.ts";
import { type Faults, readKnown, readSomeItems, readWord } from "./policy-fields.ts";
import { asHeaderName, isFieldValue, isRouteHostname, isRoutePath } from "./route-values.ts";

/** A request for which every part holds that is there. */
export interface HttpRequestMatch {
  readonly methods?: readonly string[];
  readonly path?: HttpRequestPath;
  /** Lower-case; `*.example.com` matches one label or more. */
  readonly hosts?: readonly string[];
  readonly headers?: readonly HttpRequestHeader[];
}

export interface HttpRequestPath {
  /**
   * A prefix matches whole segments and has no slash at its end but for `/`; in a template `{*}`
   * stands for one segment, and `{**}` at the end for any number.
   */
  readonly kind: "exact" | "prefix" | "template";
  readonly value: string;
}

export interface HttpRequestHeader {
  /** Lower-case. */
  readonly name: string;
  /** Undefined: present, whatever it says. */
  readonly value?: string;
}

const MAX_MATCHES = 64;
const MAX_PARTS = 64;
const METHOD = /^[A-Z][-A-Z0-9_]{0,31}$/;
const GRPC_SERVICE = /^(?=.{1,512}$)[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*$/;
const GRPC_METHOD = /^[A-Za-z_][A-Za-z0-9_]{0,255}$/;
const KINDS = { Exact: "exact", Prefix: "prefix", Template: "template" } as const;

/** Conditions of which one must hold; undefined where there are none. */
export function readHttpMatches(
  value: unknown,
  field: string,
  faults: Faults,
): readonly HttpRequestMatch[] | undefined {
  return readSomeItems(value, field, MAX_MATCHES, faults)?.map((item, i) => {
    return readHttpMatch(item, `${field}[${i}]`, faults);
  });
}

/** The same for gRPC, as the requests that it sends (PROTOCOL-HTTP2.md of gRPC). */
export function readGrpcMatches(
  value: unknown,
  field: string,
  faults: Faults,
): readonly HttpRequestMatch[] | undefined {
  return readSomeItems(value, field, MAX_MATCHES, faults)?.map((item, i) => {
    const at = `${field}[${i}]`;
    const { service, method } = readKnown(item, at, ["service", "method"], faults);
    if (!GRPC_SERVICE.test(asText(service))) {
      faults.reject(`${at}.service`, `want a name like shop.Prices: got ${formatValue(service)}`);
    }
    if (method === undefined || method === null) {
      return { methods: ["POST"], path: { kind: "prefix", value: `/${asText(service)}` } };
    }
    if (!GRPC_METHOD.test(asText(method))) {
      faults.reject(`${at}.method`, `want a name like Get: got ${formatValue(method)}`);
    }
    const value = `/${asText(service)}/${asText(method)}`;
    return { methods: ["POST"], path: { kind: "exact", value } };
  });
}

function readHttpMatch(value: unknown, field: string, faults: Faults): HttpRequestMatch {
  const fields = readKnown(value, field, ["methods", "path", "hosts", "headers"], faults);
  const path = readPath(fields["path"], `${field}.path`, faults);
  const methods = readTexts(
    fields["methods"],
    `${field}.methods`,
    (one) => METHOD.test(one),
    "a method like GET",
    faults,
  );
  const hosts = readTexts(
    fields["hosts"],
    `${field}.hosts`,
    isRouteHostname,
    "a name like a.example or *.example",
    faults,
  );
  const headers = readSomeItems(fields["headers"], `${field}.headers`, MAX_PARTS, faults);
  const match: HttpRequestMatch = {
    ...(methods !== undefined && { methods }),
    ...(path !== undefined && { path }),
    ...(hosts !== undefined && { hosts }),
    ...(headers !== undefined && {
      headers: headers.flatMap((item, i) => {
        return readHeader(item, `${field}.headers[${i}]`, faults) ?? [];
      }),
    }),
  };
  if (Object.keys(match).length === 0) faults.reject(field, "want a condition: got none");
  return match;
}

function readPath(value: unknown, field: string, faults: Faults): HttpRequestPath | undefined {
  if (value === undefined || value === null) return undefined;
  const fields = readKnown(value, field, ["type", "value"], faults);
  const words = ["Exact", "Prefix", "Template"] as const;
  const type = readWord(fields["type"], `${field}.type`, words, faults);
  if (type === undefined) return undefined;
  const path = asText(fields["value"]);
  const plain =
    type === "Template"
      ? path.replace(/\/\{\*\*\}$/, "/x").replace(/\/\{\*\}(?=\/|$)/g, "/x")
      : path;
  if (!isRoutePath(plain)) {
    const want =
      type === "Template" ? "a path like /users/{*}/orders or /static/{**}" : "a path like /a/b";
    return faults.reject(`${field}.value`, `want ${want}: got ${formatValue(fields["value"])}`);
  }
  const value_ = type === "Prefix" && path !== "/" ? path.replace(/\/$/, "") : path;
  return { kind: KINDS[type], value: value_ };
}

function readHeader(value: unknown, field: string, faults: Faults): HttpRequestHeader | undefined {
  const fields = readKnown(value, field, ["name", "value"], faults);
  const name = asHeaderName(fields["name"]);
  const wanted = fields["value"] ?? undefined;
  if (name === undefined) {
    const got = formatValue(fields["name"]);
    return faults.reject(`${field}.name`, `want a header's name: got ${got}`);
  }
  if (wanted === undefined) return { name };
  if (isFieldValue(wanted)) return { name, value: wanted };
  return faults.reject(`${field}.value`, `want a header's value: got ${formatValue(wanted)}`);
}

function readTexts(
  value: unknown,
  field: string,
  isOne: (text: string) => boolean,
  want: string,
  faults: Faults,
): readonly string[] | undefined {
  if (value === undefined || value === null) return undefined;
  return readSomeItems(value, field, MAX_PARTS, faults)?.flatMap((item, i) => {
    if (typeof item === "string" && isOne(item)) return [item];
    faults.reject(`${field}[${i}]`, `want ${want}: got ${formatValue(item)}`);
    return [];
  });
}
