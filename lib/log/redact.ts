// What may stand in a log line: secrets blotted out, errors told with their causes, sizes bounded.
// Two nets: the name of a field, and the shape of a text wherever it stands. Pure.

const BLOT = "[redacted]";
const SECRET_NAME =
  /token|passw(or)?d|secret|authorization|cookie|private_?-?key|credential|api_?-?key|kubeconfig/i;
/** `tokenPath` and `secretName` say where a secret is, not what it is. */
const HARMLESS_NAME = /(path|file|name|count|ms|seconds|length)$/i;

const SECRET_SHAPES: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, BLOT],
  [/\b(bearer|basic)\s+[\w.~+/=-]{8,}/gi, `$1 ${BLOT}`],
  // A JSON Web Token: three base64url parts, the first beginning with `{"`.
  [/\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g, BLOT],
  // Credentials in a URL.
  [/(\w+:\/\/)[^\s/@:]*:[^\s/@]+@/g, `$1${BLOT}@`],
];

const DEPTH_LIMIT = 6;
const TEXT_LIMIT = 8_192;
const ITEM_LIMIT = 100;

/** Blots out what looks like a secret and cuts what is too long. Never throws. */
export function redactText(text: string): string {
  // Cut first, with a margin that no shape exceeds by much: patterns must not run over megabytes.
  let clean = text.length > TEXT_LIMIT * 2 ? text.slice(0, TEXT_LIMIT * 2) : text;
  for (const [shape, replacement] of SECRET_SHAPES) clean = clean.replace(shape, replacement);
  const cut = clean.length < text.length && clean.length >= TEXT_LIMIT;
  return clean.length > TEXT_LIMIT || cut ? `${clean.slice(0, TEXT_LIMIT)}… (cut)` : clean;
}

/** The fields of one log line as plain JSON data, safe to write. */
export function redactFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return redactEntries(Object.entries(fields), 0);
}

function redactEntries(
  entries: readonly (readonly [string, unknown])[],
  depth: number,
): Record<string, unknown> {
  const clean: Record<string, unknown> = {};
  for (const [name, value] of entries.slice(0, ITEM_LIMIT)) {
    const secret = SECRET_NAME.test(name) && !HARMLESS_NAME.test(name);
    clean[name] = secret && value !== undefined ? BLOT : redactValue(value, depth + 1);
  }
  return clean;
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === "string") return redactText(value);
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "function" || typeof value === "symbol") return `[${typeof value}]`;
  return typeof value === "object" && value !== null ? redactObject(value, depth) : value;
}

function redactObject(value: object, depth: number): unknown {
  if (depth > DEPTH_LIMIT) return "[too deep]";
  if (value instanceof Error) return redactError(value, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof Map) {
    return redactEntries(
      [...value].map(([name, item]) => [String(name), item]),
      depth,
    );
  }
  const items: unknown = value instanceof Set ? [...value] : value;
  if (!Array.isArray(items)) return redactEntries(Object.entries(value), depth);
  const shown = items.slice(0, ITEM_LIMIT).map((item: unknown) => redactValue(item, depth + 1));
  return items.length > ITEM_LIMIT ? [...shown, `… (${items.length} in all)`] : shown;
}

function redactError(error: Error, depth: number): unknown {
  const { name, message, cause } = error;
  const told: Record<string, unknown> = { name, message: redactText(message) };
  if ("code" in error) told["code"] = redactValue(error.code, depth + 1);
  if (cause !== undefined) told["cause"] = redactValue(cause, depth + 1);
  return told;
}
