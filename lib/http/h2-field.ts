// One field line of HTTP/2, judged once when it is decoded: HPACK's tables keep the verdict, so a
// field that comes by index costs no second look (RFC 9113 §8.2, §8.3).

import { isAuthority, isToken, PATH, QUERY, TAB, TEXT, TOKEN } from "./h1-syntax.ts";

/** What a field is to a message. Numbers, because one is looked at for each field of each head. */
export const FIELD_KIND = {
  /** Goes into `fields`. */
  plain: 0,
  /** Makes the message malformed. */
  invalid: 1,
  method: 2,
  scheme: 3,
  authority: 4,
  path: 5,
  protocol: 6,
  status: 7,
  host: 8,
  cookie: 9,
  contentLength: 10,
  expect: 11,
} as const;

export type FieldKind = (typeof FIELD_KIND)[keyof typeof FIELD_KIND];

export interface H2Field {
  readonly name: string;
  readonly value: string;
  readonly kind: FieldKind;
  /** As RFC 7541 §4.1 counts: both lengths and 32. */
  readonly sizeBytes: number;
}

const OVERHEAD_BYTES = 32;

/** Names that are not plain, with the check that their values must pass. */
const SPECIAL: ReadonlyMap<string, readonly [FieldKind, (value: string) => boolean]> = new Map<
  string,
  readonly [FieldKind, (value: string) => boolean]
>([
  [":method", [FIELD_KIND.method, isToken]],
  [":scheme", [FIELD_KIND.scheme, (value) => /^[a-zA-Z][a-zA-Z0-9+.-]*$/.test(value)]],
  [":authority", [FIELD_KIND.authority, isAuthority]],
  [":path", [FIELD_KIND.path, (value) => value === "*" || isOriginForm(value)]],
  [":protocol", [FIELD_KIND.protocol, isToken]],
  [":status", [FIELD_KIND.status, (value) => /^[1-9][0-9]{2}$/.test(value)]],
  ["host", [FIELD_KIND.host, isAuthority]],
  ["cookie", [FIELD_KIND.cookie, isFieldValue]],
  ["content-length", [FIELD_KIND.contentLength, (value) => /^[0-9]{1,15}$/.test(value)]],
  ["expect", [FIELD_KIND.expect, (value) => value.toLowerCase() === "100-continue"]],
  ["te", [FIELD_KIND.plain, (value) => value === "trailers"]],
  // These speak of a connection, and HTTP/2 has other means for that.
  ["connection", [FIELD_KIND.invalid, isFieldValue]],
  ["keep-alive", [FIELD_KIND.invalid, isFieldValue]],
  ["proxy-connection", [FIELD_KIND.invalid, isFieldValue]],
  ["transfer-encoding", [FIELD_KIND.invalid, isFieldValue]],
  ["upgrade", [FIELD_KIND.invalid, isFieldValue]],
]);

/** Judges a field as it was decoded, each octet a code of the string. Never throws. */
export function makeField(name: string, value: string): H2Field {
  const sizeBytes = name.length + value.length + OVERHEAD_BYTES;
  return { name, value, kind: kindOf(name, value), sizeBytes };
}

function kindOf(name: string, value: string): FieldKind {
  const special = SPECIAL.get(name);
  if (special !== undefined) return special[1](value) ? special[0] : FIELD_KIND.invalid;
  return isFieldName(name) && isFieldValue(value) ? FIELD_KIND.plain : FIELD_KIND.invalid;
}

/** A token without capitals. */
function isFieldName(name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (TOKEN[code] !== code) return false;
  }
  return name.length > 0;
}

/** No control bytes but the tab, and no blanks around. */
function isFieldValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) if (TEXT[value.charCodeAt(i)] === 0) return false;
  return !isBlank(value.charCodeAt(0)) && !isBlank(value.charCodeAt(value.length - 1));
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === TAB;
}

/** Same bytes as the HTTP/1.1 codec lets through. */
function isOriginForm(target: string): boolean {
  if (!target.startsWith("/")) return false;
  let allowed = PATH;
  for (let i = 0; i < target.length; i++) {
    const code = target.charCodeAt(i);
    if (code === 0x3f) allowed = QUERY;
    if (allowed[code] === 0) return false;
  }
  return true;
}
