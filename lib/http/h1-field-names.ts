// The field names that the codec treats in a way of their own, found by hash while a name is being
// validated: a known name costs no allocation and comes out as one interned string.

import { TOKEN } from "./h1-syntax.ts";

/**
 * - `host` … `expect`: read by the codec, told in the head, never in `fields`.
 * - `hop`: means this connection only; dropped (RFC 9110 §7.6.1).
 * - `control`: routing, authentication, caching or the reading of the body rest on it, so it is
 *   not taken from trailers (§6.5.1), and stays when Connection names it: a client must not make
 *   the proxy drop what the next hop decides by.
 * - `plain`: known for its interned name only.
 */
export type FieldRole =
  | "host"
  | "content-length"
  | "transfer-encoding"
  | "connection"
  | "upgrade"
  | "expect"
  | "hop"
  | "control"
  | "plain";

export interface KnownName {
  readonly name: string;
  readonly role: FieldRole;
  /** The name as bytes. */
  readonly codes: Uint8Array;
}

const NAMES: Readonly<Record<FieldRole, string>> = {
  host: "host",
  "content-length": "content-length",
  "transfer-encoding": "transfer-encoding",
  connection: "connection",
  upgrade: "upgrade",
  expect: "expect",
  hop: "keep-alive proxy-connection te trailer http2-settings",
  control:
    "age authorization cache-control content-encoding content-range content-type cookie date " +
    "expires forwarded location max-forwards pragma proxy-authenticate proxy-authorization range " +
    "retry-after set-cookie vary via warning www-authenticate x-forwarded-client-cert " +
    "x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-real-ip x-request-id",
  plain:
    "accept accept-encoding accept-language accept-ranges access-control-allow-origin baggage " +
    "content-disposition content-language dnt etag from grpc-status grpc-timeout if-match " +
    "if-modified-since if-none-match if-unmodified-since last-modified origin priority referer " +
    "sec-fetch-dest sec-fetch-mode sec-fetch-site sec-websocket-accept sec-websocket-extensions " +
    "sec-websocket-key sec-websocket-protocol sec-websocket-version server " +
    "strict-transport-security traceparent tracestate upgrade-insecure-requests user-agent " +
    "x-content-type-options x-frame-options x-powered-by",
};

/** Power of two, some eight times the names: runs of taken slots stay short. */
const SLOTS = 1024;

/** Open addressing: a name sits in its slot or in the run behind it. Never changed after this. */
const TABLE: readonly (KnownName | undefined)[] = fillTable();

/** Adds a lower-case code to the hash of the codes before it; the first one is added to 0. */
export function hashStep(hash: number, code: number): number {
  return (Math.imul(hash, 31) + code) | 0;
}

/** The known name that stands at [start, end), in whatever case, if it is one. */
export function findKnownName(
  bytes: Uint8Array,
  start: number,
  end: number,
  hash: number,
): KnownName | undefined {
  for (let slot = hash & (SLOTS - 1); ; slot = (slot + 1) & (SLOTS - 1)) {
    const known = TABLE[slot];
    if (known === undefined || isAt(bytes, start, end, known.codes)) return known;
  }
}

/** The role of a name given as lower-case text. */
export function roleOf(name: string): FieldRole {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = hashStep(hash, name.charCodeAt(i));
  for (let slot = hash & (SLOTS - 1); ; slot = (slot + 1) & (SLOTS - 1)) {
    const known = TABLE[slot];
    if (known === undefined) return "plain";
    if (known.name === name) return known.role;
  }
}

function isAt(bytes: Uint8Array, start: number, end: number, codes: Uint8Array): boolean {
  if (end - start !== codes.length) return false;
  let i = 0;
  while (i < codes.length && TOKEN[bytes[start + i] ?? 0] === codes[i]) i++;
  return i === codes.length;
}

function fillTable(): readonly (KnownName | undefined)[] {
  const table: (KnownName | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  for (const [role, names] of Object.entries(NAMES)) {
    for (const name of names.split(" ")) {
      let hash = 0;
      for (let i = 0; i < name.length; i++) hash = hashStep(hash, name.charCodeAt(i));
      let slot = hash & (SLOTS - 1);
      while (table[slot] !== undefined) slot = (slot + 1) & (SLOTS - 1);
      table[slot] = { name, role: role as FieldRole, codes: Buffer.from(name) };
    }
  }
  return table;
}
