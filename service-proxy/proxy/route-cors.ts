// CORS in the proxy's place (GEP-1767, WHATWG fetch): preflights are answered, and responses to
// other origins carry what the policy says. With a policy the backend's own CORS fields are gone.

import {
  type FieldLines,
  fieldValue,
  type RequestHead,
  type ResponseHead,
} from "../../lib/http/message.ts";
import type { HttpCorsPolicy } from "../../lib/kube/api/http-route-cors.ts";

/** The answer to a preflight; undefined when the request is none, and goes to the backend. */
export function answerPreflight(
  head: RequestHead,
  policy: HttpCorsPolicy,
): ResponseHead | undefined {
  if (head.method !== "OPTIONS") return undefined;
  const origin = fieldValue(head.fields, "origin");
  const method = fieldValue(head.fields, "access-control-request-method");
  if (origin === undefined || method === undefined) return undefined;
  const fields: string[] = ["content-length", "0", "vary", VARY_PREFLIGHT];
  // Without the fields the browser refuses; the status is fine all the same.
  if (!allowsOrigin(policy, origin)) return { status: 204, fields };
  const requested = fieldValue(head.fields, "access-control-request-headers");
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined && value !== "") fields.push(`access-control-${name}`, value);
  };
  add("allow-origin", answeredOrigin(policy, origin));
  add("allow-credentials", policy.allowCredentials ? "true" : undefined);
  add("allow-methods", listOr(policy.allowMethods, method));
  add("allow-headers", listOr(policy.allowHeaders, requested));
  add("expose-headers", exposed(policy));
  add("max-age", `${policy.maxAgeSeconds}`);
  return { status: 204, fields };
}

/** The response as the origin of its request may see it. */
export function applyCors(
  response: ResponseHead,
  request: RequestHead,
  policy: HttpCorsPolicy,
): ResponseHead {
  const fields = withoutCors(response.fields);
  const origin = fieldValue(request.fields, "origin");
  if (answersByOrigin(policy)) fields.push("vary", "origin");
  if (origin === undefined || !allowsOrigin(policy, origin)) return { ...response, fields };
  fields.push("access-control-allow-origin", answeredOrigin(policy, origin));
  if (policy.allowCredentials) fields.push("access-control-allow-credentials", "true");
  const expose = exposed(policy);
  if (expose !== undefined) fields.push("access-control-expose-headers", expose);
  return { ...response, fields };
}

const VARY_PREFLIGHT = "origin, access-control-request-method, access-control-request-headers";
const DEFAULT_PORT: Readonly<Record<string, string>> = { http: "80", https: "443" };

function allowsOrigin({ allowOrigins }: HttpCorsPolicy, origin: string): boolean {
  const given = splitOrigin(origin.toLowerCase());
  if (given === undefined) return allowOrigins.includes("*");
  return allowOrigins.some((allowed) => {
    if (allowed === "*") return true;
    const want = splitOrigin(allowed);
    if (want === undefined || want.scheme !== given.scheme || want.port !== given.port) {
      return false;
    }
    if (want.host === "*") return true;
    // `*` stands for any number of labels, at least one.
    if (!want.host.startsWith("*.")) return want.host === given.host;
    return given.host.length >= want.host.length && given.host.endsWith(want.host.slice(1));
  });
}

function splitOrigin(
  origin: string,
): { readonly scheme: string; readonly host: string; readonly port: string } | undefined {
  const [, scheme, host, port] =
    /^(https?):\/\/([^/:[\]]+|\[[0-9a-f:.]+\])(?::(\d+))?$/.exec(origin) ?? [];
  if (scheme === undefined || host === undefined) return undefined;
  return { scheme, host, port: port ?? DEFAULT_PORT[scheme] ?? "" };
}

function answersByOrigin(policy: HttpCorsPolicy): boolean {
  return policy.allowCredentials || !policy.allowOrigins.includes("*");
}

function answeredOrigin(policy: HttpCorsPolicy, origin: string): string {
  return answersByOrigin(policy) ? origin : "*";
}

/** `*` is answered with what was asked for: with credentials `*` means nothing to browsers. */
function listOr(allowed: readonly string[], requested: string | undefined): string | undefined {
  return allowed.includes("*") ? requested : allowed.join(", ");
}

function exposed({ exposeHeaders, allowCredentials }: HttpCorsPolicy): string | undefined {
  if (exposeHeaders.length === 0) return undefined;
  if (exposeHeaders.includes("*") && allowCredentials) return undefined;
  return exposeHeaders.join(", ");
}

function withoutCors(fields: FieldLines): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (!name.startsWith("access-control-")) kept.push(name, fields[i + 1] ?? "");
  }
  return kept;
}
