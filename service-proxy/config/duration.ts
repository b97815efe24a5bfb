// Durations as Go writes them ("1m30s"), because kube-proxy's flags and files do. In the model
// every duration is a number of milliseconds.

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3, // U+00B5
  μs: 1e-3, // U+03BC
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** Go keeps nanoseconds in 63 bits: about 292 years. */
const LIMIT_MS = 2 ** 63 / 1e6;

/**
 * Reads a Go duration: numbers with units, largest first or not, e.g. `1h2m`, `1.5s`, `-10ms`.
 * A bare `0` is one too.
 * @returns milliseconds, or undefined when the text is no duration
 * @see https://pkg.go.dev/time#ParseDuration
 */
export function parseGoDuration(text: string): number | undefined {
  const match = /^([+-]?)(.+)$/.exec(text);
  if (match === null) return undefined;
  const [, sign, body = ""] = match;
  if (body === "0") return 0;
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(body)) return undefined;
  let totalMs = 0;
  for (const [, amount = "", unit = ""] of body.matchAll(/([\d.]+)([^\d.]+)/g)) {
    totalMs += Number(amount) * (UNIT_MS[unit] ?? Number.NaN);
  }
  if (!(totalMs < LIMIT_MS)) return undefined;
  const roundedMs = roundToNanoseconds(totalMs);
  return sign === "-" ? -roundedMs : roundedMs;
}

/** 1.003s is 1003 ms, not 1002.9999999999999. */
function roundToNanoseconds(durationMs: number): number {
  const nanoseconds = Math.round(durationMs * 1e6);
  return Number.isSafeInteger(nanoseconds) ? nanoseconds / 1e6 : Math.round(durationMs);
}

/** Writes milliseconds the way Go prints a duration: `30s`, `24h0m0s`, `10ms`, `0s`. */
export function formatGoDuration(durationMs: number): string {
  if (durationMs < 0) return `-${formatGoDuration(-durationMs)}`;
  if (durationMs === 0) return "0s";
  if (durationMs < 1e-3) return `${trim(durationMs * 1e6)}ns`;
  if (durationMs < 1) return `${trim(durationMs * 1e3)}µs`;
  if (durationMs < 1_000) return `${trim(durationMs)}ms`;
  const hours = Math.floor(durationMs / 3_600_000);
  const minutes = Math.floor((durationMs % 3_600_000) / 60_000);
  const seconds = `${trim((durationMs % 60_000) / 1_000)}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

function trim(value: number): string {
  return String(Number(value.toFixed(9)));
}
