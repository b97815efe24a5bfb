// WebSocket in HTTP/2 and in HTTP/1.1 (RFC 8441, RFC 6455): within the proxy it always has the form
// of HTTP/1.1, a GET with an upgrade, so that routes see one thing.

import { createHash } from "node:crypto";
import { type FieldLines, fieldValue, type RequestHead } from "../../lib/http/message.ts";
import type { ClientResponse } from "./http-client-stream.ts";

export const WEBSOCKET = "websocket";
const ACCEPT_SALT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** @param key sixteen random bytes: HTTP/2 has none, for its framing proves what they prove */
export function toUpgrade({ authority, path, fields }: RequestHead, key: Buffer): RequestHead {
  const kept = without(fields, "sec-websocket-key");
  const named = [...kept, "sec-websocket-key", key.toString("base64")];
  return { method: "GET", authority, path, upgrade: WEBSOCKET, fields: named };
}

export function toExtendedConnect({ authority, path, fields }: RequestHead): RequestHead {
  const kept = without(fields, "sec-websocket-key");
  return { method: "CONNECT", authority, path, upgrade: WEBSOCKET, fields: kept };
}

/** The 2xx to an extended CONNECT as a 101. @param request in the form of HTTP/1.1 */
export function toSwitch({ fields }: ClientResponse, request: RequestHead): ClientResponse {
  const key = fieldValue(request.fields, "sec-websocket-key") ?? "";
  const accept = createHash("sha1")
    .update(key + ACCEPT_SALT)
    .digest("base64");
  const named = [...fields, "sec-websocket-accept", accept];
  return { status: 101, upgrade: WEBSOCKET, fields: named };
}

/** A 101 as the answer to an extended CONNECT. */
export function fromSwitch({ fields }: ClientResponse): ClientResponse {
  return { status: 200, fields: without(fields, "sec-websocket-accept") };
}

function without(fields: FieldLines, name: string): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== name) kept.push(fields[i] ?? "", fields[i + 1] ?? "");
  }
  return kept;
}
