// Structured log lines on one stream, as text for people or JSON for machines. Values whose names
// or shapes look secret never reach the stream.

import { type DestinationStream, destination, pino } from "pino";
import { redactFields, redactText } from "./redact.ts";
import { formatTextLine } from "./text-line.ts";

export type LogFields = Readonly<Record<string, unknown>>;
export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFormat = "json" | "text";

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  /** Give the cause as field `error`; its code, message and causes are written out. */
  error(message: string, fields?: LogFields): void;
}

/** Where lines go; each ends in a newline. */
export interface LogDestination {
  write(line: string): void;
}

export interface LoggerOptions {
  /** The least level written. */
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly destination: LogDestination;
}

const OWN_FIELDS: ReadonlySet<string> = new Set(["level", "time", "message"]);

/** Lines are written before the call returns, so that none is lost at exit. */
export function makeLogger({ level, format, destination: sink }: LoggerOptions): Logger {
  const stream: DestinationStream =
    format === "json" ? sink : { write: (line) => sink.write(formatTextLine(line)) };
  const options = {
    level,
    base: null,
    messageKey: "message",
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const target = pino(options, stream);
  const writer =
    (name: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      if (target.isLevelEnabled(name)) target[name](lineFields(fields), redactText(message));
    };
  return {
    debug: writer("debug"),
    info: writer("info"),
    warn: writer("warn"),
    error: writer("error"),
  };
}

/** Fields that would shadow the line's own are renamed: `message` to `field_message`. */
function lineFields(fields: LogFields): Record<string, unknown> {
  const entries = Object.entries(redactFields(fields));
  return Object.fromEntries(
    entries.map(([name, value]) => [OWN_FIELDS.has(name) ? `field_${name}` : name, value]),
  );
}

/** Standard error, written synchronously. */
export function standardError(): LogDestination {
  const stream = destination({ fd: 2, sync: true });
  return { write: (line) => void stream.write(line) };
}

/** klog's `-v`: 0–3 are what an operator wants to see, 4 and more is for debugging. */
export function levelOfVerbosity(verbosity: number): LogLevel {
  return verbosity >= 4 ? "debug" : "info";
}
