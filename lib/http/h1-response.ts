// Reads the head of a response (RFC 9112 §4). How it is framed depends on what was asked.

import { readFields, stripNamedFields } from "./h1-fields.ts";
import { type AskedBy, readConnection, responseBody } from "./h1-framing.ts";
import { type H1Problem, type H1ResponseHead, h1Problem } from "./h1-head.ts";
import type { H1Limits } from "./h1-limits.ts";
import type { HeadBytes } from "./h1-request.ts";
import { CR, SPACE } from "./h1-syntax.ts";

const CODE_AT = "HTTP/1.1 ".length;
const CODE_END = CODE_AT + 3;

/** Reads a response's head, which `H1Block` found. Problems are 502. Never throws. */
export function readResponseHead(
  head: HeadBytes,
  limits: H1Limits,
  asked: AskedBy,
): H1ResponseHead | H1Problem {
  const read = readHead(head, limits, asked);
  return read.kind === "problem" ? h1Problem(502, read.why) : read;
}

function readHead(head: HeadBytes, limits: H1Limits, asked: AskedBy): H1ResponseHead | H1Problem {
  const { bytes, start, end } = head;
  const text = bytes.toString("latin1", start, end);
  const version = text.startsWith("HTTP/1.1 ") ? "1.1" : "1.0";
  if (version === "1.0" && !text.startsWith("HTTP/1.0 ")) {
    return h1Problem(502, "a status line without a version");
  }
  const status = statusOf(text);
  const after = text.charCodeAt(CODE_END);
  if (status < 100 || (after !== SPACE && after !== CR)) {
    return h1Problem(502, "a status line without a status");
  }
  const fieldsStart = start + text.indexOf("\r", CODE_END) + 2;
  const section = readFields(head, fieldsStart, text, start, limits);
  if (section.kind === "problem") return section;
  const connection = readConnection(section, version);
  if (connection.kind === "problem") return connection;
  const body = responseBody(section, version, status, asked);
  if (body.kind === "problem") return body;

  const { options } = connection;
  const fields = options.length === 0 ? section.fields : stripNamedFields(section.fields, options);
  const keepAlive = connection.keepAlive && body.kind !== "until-close" && body.kind !== "tunnel";
  const kind = "response";
  const { upgrade } = section;
  return status === 101 && upgrade !== undefined
    ? { kind, status, upgrade, fields, version, keepAlive, body }
    : { kind, status, fields, version, keepAlive, body };
}

/** Three digits as a number; not a number or below 100 if they are no status. */
function statusOf(text: string): number {
  let status = 0;
  for (let i = CODE_AT; i < CODE_END; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return 0;
    status = status * 10 + digit;
  }
  return status;
}
