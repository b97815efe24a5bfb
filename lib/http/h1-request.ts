// Reads the head of a request (RFC 9112 §3): four forms of target become one, and what names the
// origin twice must name it alike.

import { readFields, stripNamedFields } from "./h1-fields.ts";
import type { FieldSection } from "./h1-fields.ts";
import { type ConnectionFacts, readConnection, requestBody } from "./h1-framing.ts";
import {
  type H1Body,
  type H1Problem,
  type H1RequestHead,
  type H1Version,
  h1Problem,
  malformed,
} from "./h1-head.ts";
import type { H1Limits } from "./h1-limits.ts";
import { hasPort, isAuthority, isToken, PATH, QUERY, skipRun, SPACE, TOKEN } from "./h1-syntax.ts";

/** Where the lines of a head are, from the first line to the empty one. */
export interface HeadBytes {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** An origin and a path there, however they were written. */
interface Target {
  readonly kind: "target";
  readonly authority: string;
  readonly path: string;
}

const SLASH = 0x2f;
const QUESTION = 0x3f;
const VERSION_LENGTH = "HTTP/1.1".length;

/** Reads a request's head, which `H1Block` found. Never throws. */
export function readRequestHead(head: HeadBytes, limits: H1Limits): H1RequestHead | H1Problem {
  const { bytes, start, end } = head;
  const text = bytes.toString("latin1", start, end);
  let methodEnd = start;
  while (TOKEN[bytes[methodEnd] ?? 0] !== 0) methodEnd++;
  if (methodEnd === start || bytes[methodEnd] !== SPACE) {
    return malformed("a request line without a method");
  }
  if (methodEnd - start > limits.methodBytes) return h1Problem(501, "a method that is too long");
  const method = text.substring(0, methodEnd - start);
  const targetStart = methodEnd + 1;
  const targetEnd = endOfTarget(bytes, targetStart, end);
  if (bytes[targetEnd] !== SPACE || targetEnd === targetStart) {
    return malformed("a target with bytes that no target has");
  }
  const version = readVersion(text, targetEnd + 1 - start);
  if (typeof version !== "string") return version;

  const fieldsStart = targetEnd + 1 + VERSION_LENGTH + 2;
  const section = readFields(head, fieldsStart, text, start, limits);
  if (section.kind === "problem") return section;
  const sent = text.substring(targetStart - start, targetEnd - start);
  const target = readTarget(method, sent, version, section.host);
  if (target.kind === "problem") return target;
  const connection = readConnection(section, version);
  if (connection.kind === "problem") return connection;
  const body = requestBody(section, version, method);
  if (body.kind === "problem") return body;
  return requestHead(method, target, version, section, connection, body);
}

function requestHead(
  method: string,
  { authority, path }: Target,
  version: H1Version,
  section: FieldSection,
  { keepAlive, upgrade: isUpgrade, options }: ConnectionFacts,
  body: H1Body,
): H1RequestHead | H1Problem {
  const expect = section.expect?.toLowerCase();
  if (expect !== undefined && expect !== "100-continue") {
    return h1Problem(417, "an expectation other than 100-continue");
  }
  const expectContinue = expect !== undefined && version === "1.1" && hasContent(body);
  const fields = options.length === 0 ? section.fields : stripNamedFields(section.fields, options);
  const kind = "request";
  const { upgrade } = section;
  if (upgrade !== undefined && isUpgrade && keepAlive && version === "1.1" && method === "GET") {
    if (!hasContent(body) && isSwitch(upgrade)) {
      return {
        kind,
        method,
        authority,
        path,
        upgrade,
        fields,
        version,
        keepAlive,
        body,
        expectContinue,
      };
    }
  }
  return { kind, method, authority, path, fields, version, keepAlive, body, expectContinue };
}

function hasContent(body: H1Body): boolean {
  return body.kind === "chunked" || (body.kind === "length" && body.lengthBytes > 0);
}

/**
 * One protocol other than h2c: behind a proxy that passes h2c on, requests go unseen (RFC 9113
 * dropped it). What is no switch is ignored, as RFC 9110 §7.8 allows.
 */
function isSwitch(upgrade: string): boolean {
  const [name = "", version = "1", ...more] = upgrade.split("/");
  return isToken(name) && isToken(version) && more.length === 0 && name.toLowerCase() !== "h2c";
}

function endOfTarget(bytes: Buffer, start: number, end: number): number {
  const pathEnd = skipRun(PATH, bytes, start, end);
  return bytes[pathEnd] === QUESTION ? skipRun(QUERY, bytes, pathEnd, end) : pathEnd;
}

/** @param at where the version begins; the line must end with it */
function readVersion(text: string, at: number): H1Version | H1Problem {
  if (text.startsWith("HTTP/1.1\r", at)) return "1.1";
  if (text.startsWith("HTTP/1.0\r", at)) return "1.0";
  return /^HTTP\/[0-9]\.[0-9]\r/.test(text.substring(at, at + VERSION_LENGTH + 1))
    ? h1Problem(505, "an HTTP version other than 1.0 and 1.1")
    : malformed("a request line that does not end with a version");
}

function readTarget(
  method: string,
  sent: string,
  version: H1Version,
  host: string | undefined,
): Target | H1Problem {
  if (host === undefined) {
    if (version === "1.1") return malformed("no Host field");
  } else if (!isAuthority(host)) {
    return malformed("a Host field that is no host and port");
  }
  if (method === "CONNECT") {
    if (!isAuthority(sent) || !hasPort(sent)) return malformed("a CONNECT to no host and port");
    return named(sent, "", host);
  }
  if (sent.charCodeAt(0) === SLASH) return { kind: "target", authority: host ?? "", path: sent };
  if (sent === "*" && method === "OPTIONS") {
    return { kind: "target", authority: host ?? "", path: sent };
  }
  return readAbsolute(method, sent, host);
}

/** RFC 9112 §3.2.2; only of plain HTTP, for the scheme is lost on the way on. */
function readAbsolute(method: string, sent: string, host: string | undefined): Target | H1Problem {
  const parts = /^http:\/\/([^/?]*)(.*)$/i.exec(sent);
  if (parts === null) return malformed("a target of no form that the method has");
  const [, authority = "", rest = ""] = parts;
  if (!isAuthority(authority)) return malformed("a target whose authority is no host and port");
  if (rest === "" && method === "OPTIONS") return named(authority, "*", host);
  return named(authority, rest.startsWith("/") ? rest : `/${rest}`, host);
}

/** A target that names its origin: Host must say the same. */
function named(authority: string, path: string, host: string | undefined): Target | H1Problem {
  if (host !== undefined && host.toLowerCase() !== authority.toLowerCase()) {
    return malformed("a target and a Host field that disagree");
  }
  return { kind: "target", authority, path };
}
