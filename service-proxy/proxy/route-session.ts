// Session persistence (GEP-1619): which endpoint a client belongs to, in a cookie or header that
// the client brings back. The token names an endpoint and says since when; whoever honours it must
// find the endpoint among the rule's own, or a client could choose any address.

import { type FieldLines, fieldValue } from "../../lib/http/message.ts";
import type { RouteMatch, SessionPersistence } from "../model/route-table.ts";

export interface SessionToken {
  /** Address and port, `10.1.0.7:8080`. */
  readonly endpoint: string;
  /** Wall clock at the session's begin. */
  readonly startMs: number;
}

const MAX_TOKEN_LENGTH = 256;
const CONTENT = /^1 (\d{1,15}) (\S{1,64})$/;

/** The session that a request claims; undefined when there is none, or it is over. */
export function readSession(
  fields: FieldLines,
  { kind, name, absoluteTimeoutMs }: SessionPersistence,
  nowMs: number,
): SessionToken | undefined {
  const text = kind === "header" ? fieldValue(fields, name) : cookieValue(fields, name);
  const token = text === undefined ? undefined : decodeToken(text);
  if (token === undefined) return undefined;
  const ageMs = nowMs - token.startMs;
  if (absoluteTimeoutMs !== undefined && (ageMs < 0 || ageMs >= absoluteTimeoutMs))
    return undefined;
  return token;
}

/** The response field that gives a client its session: name and value. */
export function sessionField(
  { kind, name, permanent, absoluteTimeoutMs }: SessionPersistence,
  token: SessionToken,
  match: RouteMatch,
): readonly [name: string, value: string] {
  const value = encodeToken(token);
  if (kind === "header") return [name, value];
  const maxAge = permanent ? `; Max-Age=${Math.ceil((absoluteTimeoutMs ?? 0) / 1_000)}` : "";
  // Not Secure: within the mesh clients speak plain HTTP, and would never bring it back.
  const rest = `; Path=${cookiePath(match)}${maxAge}; HttpOnly; SameSite=Strict`;
  return ["set-cookie", `${name}=${value}${rest}`];
}

export function encodeToken({ endpoint, startMs }: SessionToken): string {
  return Buffer.from(`1 ${startMs} ${endpoint}`, "latin1").toString("base64url");
}

/** Undefined for what `encodeToken` never made. */
export function decodeToken(text: string): SessionToken | undefined {
  if (text.length > MAX_TOKEN_LENGTH) return undefined;
  const content = Buffer.from(text, "base64url").toString("latin1");
  const [, startMs, endpoint] = CONTENT.exec(content) ?? [];
  if (startMs === undefined || endpoint === undefined) return undefined;
  return { endpoint, startMs: Number(startMs) };
}

/** The path that was matched; of an expression the folder before its first special character. */
function cookiePath({ path }: RouteMatch): string {
  if (path === undefined) return "/";
  if (path.kind !== "regex") return path.value.replace(/;.*$/, "") || "/";
  const literal = /^\^?(\/[\w\-/~%]*)\//.exec(path.value)?.[1];
  return literal ?? "/";
}

/** The first cookie of the name (RFC 6265 §5.4). */
function cookieValue(fields: FieldLines, name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== "cookie") continue;
    for (const pair of (fields[i + 1] ?? "").split(";")) {
      const cookie = pair.trim();
      if (cookie.startsWith(`${name}=`)) return cookie.slice(name.length + 1);
    }
  }
  return undefined;
}
