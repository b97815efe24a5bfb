// How a call ends and how long it may take, as headers say it. Pure and total.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

/** By number: https://grpc.io/docs/guides/status-codes/ */
const CODES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

export type GrpcCode = (typeof CODES)[number];

/** Longer texts are cut: they travel as one header. */
export const MAX_STATUS_TEXT_BYTES = 1_024;
const MS_PER_UNIT = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 } as const;

/** `grpc-status` */
export function formatCode(code: GrpcCode): string {
  return String(CODES.indexOf(code));
}

/** Reads `grpc-status`; UNKNOWN when it is none. */
export function parseCode(value: unknown): GrpcCode {
  const number = typeof value === "string" && /^\d{1,2}$/.test(value) ? Number(value) : -1;
  return CODES[number] ?? "UNKNOWN";
}

/** Text as `grpc-message`: percent-encoded but for printable ASCII. */
export function formatStatusText(text: string): string {
  const bytes = Buffer.from(text, "utf8").subarray(0, MAX_STATUS_TEXT_BYTES);
  let out = "";
  for (const byte of bytes) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    const hex = byte.toString(16).toUpperCase().padStart(2, "0");
    out += plain ? String.fromCharCode(byte) : `%${hex}`;
  }
  return out;
}

/** Reads `grpc-message`; what is badly encoded stays as it is. */
export function parseStatusText(value: unknown): string {
  if (typeof value !== "string") return "";
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/** `grpc-timeout` */
export function formatTimeout(timeoutMs: number): string {
  return `${Math.min(99_999_999, Math.max(1, Math.ceil(timeoutMs)))}m`;
}

/** Reads `grpc-timeout` into milliseconds; undefined when it is missing or none. */
export function parseTimeout(value: unknown): number | undefined {
  const match = typeof value === "string" ? /^(\d{1,8})([HMSmun])$/.exec(value) : null;
  const unit = match?.[2];
  if (match === null || !isUnit(unit)) return undefined;
  return Number(match[1]) * MS_PER_UNIT[unit];
}

function isUnit(unit: string | undefined): unit is keyof typeof MS_PER_UNIT {
  return unit !== undefined && Object.hasOwn(MS_PER_UNIT, unit);
}
