// What a run asks of an agent and what comes back: one JSON object a line. The two ends may come
// from different releases (the image may be older than the CLI), so both sides parse.

import { parseAddress } from "../lib/ip/address.ts";
import type { ProbeFailure, ProbePhase, ProbeRequest, ProbeResult } from "./probe-protocol.ts";
import { parseEchoReply } from "./probe-protocol.ts";

/** Raised when the meaning of a line changes; `hello` compares it. */
export const controlVersion = 1;

/** More than this many tries in one call are refused. */
export const maximumTries = 1000;

export type ControlRequest =
  | { readonly call: "hello" }
  | {
      readonly call: "probe";
      readonly probe: ProbeRequest;
      readonly count: number;
      readonly parallel: number;
    }
  | { readonly call: "set-ready"; readonly ready: boolean };

export type ControlReply =
  | { readonly call: "hello"; readonly version: number; readonly name: string }
  | { readonly call: "probe"; readonly results: readonly ProbeResult[] }
  | { readonly call: "set-ready" };

type JsonRecord = Readonly<Record<string, unknown>>;

/** Reads one line of JSON as an object; undefined when it is none. Never throws. */
export function parseJsonLine(line: string): JsonRecord | undefined {
  try {
    return recordOf(JSON.parse(line));
  } catch {
    return undefined;
  }
}

/** Reads a request; undefined when it is none that this agent knows. Never throws. */
export function parseControlRequest(value: unknown): ControlRequest | undefined {
  const request = recordOf(value);
  switch (request?.["call"]) {
    case "hello":
      return { call: "hello" };
    case "set-ready":
      return typeof request["ready"] === "boolean"
        ? { call: "set-ready", ready: request["ready"] }
        : undefined;
    case "probe": {
      const probe = parseProbeRequest(request["probe"]);
      const count = parseCount(request["count"]);
      const parallel = parseCount(request["parallel"]);
      if (probe === undefined || count === undefined || parallel === undefined) return undefined;
      return { call: "probe", probe, count, parallel };
    }
    default:
      return undefined;
  }
}

/** Reads a reply; undefined when it is none. Never throws. */
export function parseControlReply(value: unknown): ControlReply | undefined {
  const reply = recordOf(value);
  switch (reply?.["call"]) {
    case "hello": {
      const { version, name } = reply;
      if (typeof version !== "number" || typeof name !== "string") return undefined;
      return { call: "hello", version, name };
    }
    case "set-ready":
      return { call: "set-ready" };
    case "probe": {
      if (!Array.isArray(reply["results"])) return undefined;
      const results = reply["results"].map(parseProbeResult);
      return { call: "probe", results: results.filter((result) => result !== undefined) };
    }
    default:
      return undefined;
  }
}

function parseProbeRequest(value: unknown): ProbeRequest | undefined {
  const probe = recordOf(value);
  if (probe === undefined) return undefined;
  const { protocol, port } = probe;
  const address = parseAddress(probe["address"]);
  const known = protocol === "tcp" || protocol === "udp" || protocol === "http";
  if (!known || address === undefined || !isPort(port)) return undefined;
  const { timeoutMs, sourcePort, path } = probe;
  if (typeof timeoutMs !== "number" || !(timeoutMs > 0)) return undefined;
  return {
    protocol,
    address,
    port,
    timeoutMs,
    ...(isPort(sourcePort) && { sourcePort }),
    ...(typeof path === "string" && { path }),
  };
}

function parseProbeResult(value: unknown): ProbeResult | undefined {
  const result = recordOf(value);
  if (result === undefined) return undefined;
  const { kind, text, status } = result;
  if (kind !== "reply") return parseFailure(result);
  if (typeof text !== "string") return undefined;
  const echo = parseEchoReply(text);
  return {
    kind,
    text,
    ...(typeof status === "number" && { status }),
    ...(echo !== undefined && { echo }),
  };
}

function parseFailure({ kind, phase, code }: JsonRecord): ProbeFailure | undefined {
  const during: ProbePhase = phase === "connect" ? "connect" : "answer";
  switch (kind) {
    case "refused":
    case "closed":
      return { kind };
    case "timeout":
    case "reset":
      return { kind, phase: during };
    case "unreachable":
    case "failed":
      return { kind, code: String(code) };
    default:
      return undefined;
  }
}

function parseCount(value: unknown): number | undefined {
  const good = typeof value === "number" && Number.isInteger(value);
  return good && value >= 1 && value <= maximumTries ? value : undefined;
}

function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65_535;
}

function recordOf(value: unknown): JsonRecord | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? { ...value }
    : undefined;
}
