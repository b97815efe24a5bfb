// Reads the field lines of a head or a trailer section (RFC 9110 §5, RFC 9112 §5): what belongs to
// this connection or frames the message is set apart, the rest is what travels on.

import { type FieldRole, findKnownName, hashStep, roleOf } from "./h1-field-names.ts";
import { type H1Problem, malformed } from "./h1-head.ts";
import type { H1Limits } from "./h1-limits.ts";
import { COLON, isToken, skipRun, SPACE, TAB, TEXT, TOKEN } from "./h1-syntax.ts";
import type { FieldLines } from "./message.ts";

/** A field section that has been read. Values are without blanks around them. */
export interface FieldSection {
  readonly kind: "fields";
  /** What goes on to the next hop, without Host. */
  fields: string[];
  host: string | undefined;
  contentLength: string | undefined;
  transferEncoding: string | undefined;
  /** Several lines of the next three are joined by commas, as RFC 9110 §5.2 allows. */
  connection: string | undefined;
  upgrade: string | undefined;
  expect: string | undefined;
}

/**
 * Reads lines that `H1Block` found: they end with CRLF and hold no other control byte.
 * @param start of the first field line; `end` is after the empty line behind the last one
 * @param text the same bytes as latin1, of which the first is `bytes[textStart]`
 */
export function readFields(
  { bytes, end }: { readonly bytes: Buffer; readonly end: number },
  start: number,
  text: string,
  textStart: number,
  limits: H1Limits,
): FieldSection | H1Problem {
  const section = emptySection();
  let at = start;
  while (at < end - 2) {
    const nameStart = at;
    let hash = 0;
    for (let code = 0; (code = TOKEN[bytes[at] ?? 0] ?? 0) !== 0; at++) hash = hashStep(hash, code);
    if (bytes[at] !== COLON || at === nameStart) return badName(bytes, at, nameStart);
    const nameEnd = at++;
    while (bytes[at] === SPACE || bytes[at] === TAB) at++;
    const valueStart = at;
    at = skipRun(TEXT, bytes, at, end);
    let valueEnd = at;
    while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1])) valueEnd--;
    at += 2;

    const value = text.substring(valueStart - textStart, valueEnd - textStart);
    const known = findKnownName(bytes, nameStart, nameEnd, hash);
    if (known === undefined) {
      const name = text.substring(nameStart - textStart, nameEnd - textStart).toLowerCase();
      if (limits.underscoreNames === "refuse" && name.includes("_")) {
        return malformed("an underscore in a field name");
      }
      section.fields.push(name, value);
    } else if (known.role === "plain" || known.role === "control") {
      section.fields.push(known.name, value);
    } else if (known.role !== "hop") {
      const problem = setApart(section, known.role, value);
      if (problem !== undefined) return problem;
    }
  }
  return section;
}

/** What of a trailer section may be forwarded: nothing that decisions were made by. */
export function trailersOf(section: FieldSection): FieldLines | H1Problem {
  const { fields, contentLength, transferEncoding } = section;
  if (contentLength !== undefined || transferEncoding !== undefined) {
    return malformed("a trailer that frames");
  }
  return keepFields(fields, (name) => roleOf(name) !== "control");
}

export const NO_FIELDS: FieldLines = [];

/**
 * Takes out the fields that Connection names (RFC 9110 §7.6.1), but never those of the role
 * `control`. Those that are always of one hop, `readFields` has left out.
 * @param options as `connectionOptions` returns them
 */
export function stripNamedFields(fields: string[], options: readonly string[]): string[] {
  const named = options.filter((option) => roleOf(option) !== "control");
  if (!named.some((option) => fields.includes(option))) return fields;
  return keepFields(fields, (name) => !named.includes(name));
}

/** The options of a Connection field in lower case, empty ones passed over; a problem if none. */
export function connectionOptions(value: string): readonly string[] | H1Problem {
  const options = value
    .toLowerCase()
    .split(",")
    .map(trimBlanks)
    .filter((option) => option !== "");
  return options.every(isToken) ? options : malformed("a Connection field that is no list");
}

function setApart(section: FieldSection, role: FieldRole, value: string): H1Problem | undefined {
  switch (role) {
    case "host":
      if (section.host !== undefined) return malformed("more than one Host field");
      section.host = value;
      return undefined;
    case "content-length":
      if (section.contentLength !== undefined) return malformed("more than one Content-Length");
      section.contentLength = value;
      return undefined;
    case "transfer-encoding":
      if (section.transferEncoding !== undefined) {
        return malformed("more than one Transfer-Encoding");
      }
      section.transferEncoding = value;
      return undefined;
    case "connection":
      section.connection = joined(section.connection, value);
      return undefined;
    case "upgrade":
      section.upgrade = joined(section.upgrade, value);
      return undefined;
    case "expect":
      section.expect = joined(section.expect, value);
      return undefined;
    default:
      return undefined;
  }
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before},${value}`;
}

function keepFields(fields: readonly string[], isKept: (name: string) => boolean): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (isKept(name)) kept.push(name, fields[i + 1] ?? "");
  }
  return kept;
}

function badName(bytes: Buffer, at: number, nameStart: number): H1Problem {
  const isAtBlank = isBlank(bytes[at]);
  if (at === nameStart) {
    return malformed(isAtBlank ? "a line that begins with a blank" : "a field without a name");
  }
  return malformed(isAtBlank ? "a blank before a colon" : "a field name that is no token");
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB;
}

function trimBlanks(text: string): string {
  return text.replace(/^[ \t]+|[ \t]+$/g, "");
}

function emptySection(): FieldSection {
  return {
    kind: "fields",
    fields: [],
    host: undefined,
    contentLength: undefined,
    transferEncoding: undefined,
    connection: undefined,
    upgrade: undefined,
    expect: undefined,
  };
}
