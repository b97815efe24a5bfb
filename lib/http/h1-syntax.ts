// Which bytes may stand where in a head, as tables of 256 entries (RFC 9110 §5.6.2, RFC 3986).

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const DIGITS = "0123456789";

export const TAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SPACE = 0x20;
export const COLON = 0x3a;

/** Lower-case code of each byte that a token may hold; 0 for all others. */
export const TOKEN: Uint8Array = table(`!#$%&'*+-.^_\`|~${DIGITS}${LETTERS}`, (code) =>
  String.fromCharCode(code).toLowerCase().charCodeAt(0),
);

/** 1 for bytes of lines: all but the control bytes, with the tab. CR and LF end lines. */
export const TEXT: Uint8Array = Uint8Array.from({ length: 256 }, (_, code) =>
  code === TAB || (code >= SPACE && code !== 0x7f) ? 1 : 0,
);

const VISIBLE = String.fromCharCode(...Array.from({ length: 0x7f - 0x21 }, (_, i) => 0x21 + i));

/** 1 for what a query may hold: visible ASCII, no fragment. Browsers send `|` and `^` unescaped. */
export const QUERY: Uint8Array = table(VISIBLE.replace("#", ""), () => 1);

/** As a query, without the backslash, which some servers read as a slash; `?` ends it. */
export const PATH: Uint8Array = table(VISIBLE.replace(/[#?\\]/g, ""), () => 1);

/** Names of hosts and IPv4 addresses. Others that RFC 3986 has room for name nothing in a DNS. */
export const HOST_NAME: Uint8Array = table(`-._${DIGITS}${LETTERS}`, () => 1);

/** Value of each hexadecimal digit, 255 for other bytes. */
export const HEX: Uint8Array = Uint8Array.from({ length: 256 }, (_, code) => {
  const value = "0123456789abcdef".indexOf(String.fromCharCode(code).toLowerCase());
  return value < 0 ? 255 : value;
});

/**
 * Where the run of bytes that a table has a 1 for ends, from `at` on. The loop stands alone for the
 * compiler's sake: half a nanosecond a byte, twice that among other code (Node 26.10, 2026-11).
 */
export function skipRun(table: Uint8Array, bytes: Uint8Array, at: number, end: number): number {
  let to = at;
  while (to < end && table[bytes[to] ?? 0] === 1) to++;
  return to;
}

/** RFC 9110 §5.6.2. */
export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255 || TOKEN[code] === 0) return false;
  }
  return text.length > 0;
}

/**
 * Whether this is `host[:port]` with nothing left to interpret: a name, an IPv4 address or an IPv6
 * address in brackets, and a port from 1 to 65535 without its being empty. No user, no escapes.
 */
export function isAuthority(text: string): boolean {
  const end = hostEnd(text);
  if (end <= 0) return false;
  return end === text.length || (text.charCodeAt(end) === COLON && isPort(text, end + 1));
}

/** An authority whose port is given: the target of CONNECT. */
export function hasPort(authority: string): boolean {
  return hostEnd(authority) < authority.length;
}

/** @returns where the host ends, or -1 */
function hostEnd(text: string): number {
  if (text.startsWith("[")) return /^\[[0-9A-Fa-f:.]{2,45}\]/.exec(text)?.[0].length ?? -1;
  let end = 0;
  while (end < text.length && HOST_NAME[text.charCodeAt(end)] === 1) end++;
  return end;
}

function isPort(text: string, from: number): boolean {
  let port = 0;
  for (let i = from; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9 || i - from >= 5) return false;
    port = port * 10 + digit;
  }
  return port >= 1 && port <= 65535;
}

function table(members: string, value: (code: number) => number): Uint8Array {
  const codes = new Set(Array.from(members, (member) => member.charCodeAt(0)));
  return Uint8Array.from({ length: 256 }, (_, code) => (codes.has(code) ? value(code) : 0));
}
