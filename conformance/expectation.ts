// What a case may claim about a batch of probes, and the judgement. Tells TIMEOUT, REFUSED and
// RESET apart and looks at whom the server saw. Pure.

import type { Address } from "../lib/ip/address.ts";
import type { Agent } from "./agent-identity.ts";
import type { ProbeProtocol, ProbeReply, ProbeResult } from "./probe-protocol.ts";

export interface Answered {
  readonly kind: "answered";
  /** Names of the only agents that may answer. */
  readonly by: readonly string[];
  /** Each of them has to answer at least once. */
  readonly every: boolean;
  /** All answers come from the same one, whichever. */
  readonly sameOne: boolean;
  /** The address that the server must have seen. */
  readonly client?: Address;
  /** Addresses that the server must not have seen. */
  readonly clientNot: readonly Address[];
  /** The port that connections must have arrived at. */
  readonly port?: number;
}

export interface HttpExpectation {
  readonly kind: "http";
  readonly status: number;
  /** In the body, once it is freed of white space. */
  readonly words: readonly string[];
}

export type Expectation =
  | Answered
  | HttpExpectation
  /** RST or ICMP port unreachable: at once, so that clients need not wait. */
  | { readonly kind: "refused" }
  /** Silence. Over TCP and HTTP before the handshake: accepting first and then hanging is none. */
  | { readonly kind: "dropped" }
  /** Anything but an answer: how it fails is not ours to say. */
  | { readonly kind: "unanswered" };

export interface AnswerOptions {
  /** @default false */
  readonly every?: boolean;
  /** @default false */
  readonly sameOne?: boolean;
  /** @default not looked at */
  readonly client?: Address;
  /** @default not looked at */
  readonly clientNot?: readonly Address[];
  /** @default not looked at */
  readonly port?: number;
}

/** Answers come, and from none but these. */
export function answeredBy(agents: readonly Agent[], options: AnswerOptions = {}): Answered {
  const { every = false, sameOne = false, clientNot = [], client, port } = options;
  return {
    kind: "answered",
    by: agents.map((agent) => agent.name),
    every,
    sameOne,
    clientNot,
    ...(client !== undefined && { client }),
    ...(port !== undefined && { port }),
  };
}

/** An HTTP answer with this status, whoever gives it. */
export function httpStatus(status: number, words: readonly string[] = []): Expectation {
  return { kind: "http", status, words };
}

export const refused: Expectation = { kind: "refused" };
export const dropped: Expectation = { kind: "dropped" };
export const unanswered: Expectation = { kind: "unanswered" };

/**
 * Judges a batch. Never throws.
 * @returns undefined when it is as expected, else a sentence: what was expected, what was seen
 */
export function judge(
  expected: Expectation,
  protocol: ProbeProtocol,
  results: readonly ProbeResult[],
): string | undefined {
  const good =
    expected.kind === "refused"
      ? refuses(results)
      : results.length > 0 && results.every((result) => fits(expected, protocol, result));
  if (good && (expected.kind !== "answered" || fitsTogether(expected, results))) return undefined;
  return `expected ${formatExpectation(expected)}; saw ${formatResults(results)}`;
}

/** `REPLY from web-1 (client 10.1.0.7, port 9090) ×3, TIMEOUT ×1`, sorted. */
export function formatResults(results: readonly ProbeResult[]): string {
  const counts = new Map<string, number>();
  for (const result of results) {
    const words = formatResult(result);
    counts.set(words, (counts.get(words) ?? 0) + 1);
  }
  const lines = [...counts].map(([words, count]) => `${words} ×${count}`);
  return lines.length === 0 ? "nothing" : lines.toSorted().join(", ");
}

/**
 * A kernel that refuses by ICMP sends one caller about one error a second, and nothing to the
 * rest: silence beside a refusal proves nothing. A proxy that drops never refuses.
 */
function refuses(results: readonly ProbeResult[]): boolean {
  const kinds = new Set(results.map((result) => result.kind));
  return kinds.delete("refused") && [...kinds].every((kind) => kind === "timeout");
}

function fits(expected: Expectation, protocol: ProbeProtocol, result: ProbeResult): boolean {
  switch (expected.kind) {
    case "answered":
      return result.kind === "reply" && fitsReply(expected, result);
    case "http":
      return result.kind === "reply" && fitsPage(expected, result);
    case "refused":
      return result.kind === "refused";
    case "dropped":
      return result.kind === "timeout" && (protocol === "udp" || result.phase === "connect");
    case "unanswered":
      return result.kind !== "reply" && result.kind !== "failed";
  }
}

function fitsPage({ status, words }: HttpExpectation, reply: ProbeReply): boolean {
  const text = reply.text.replaceAll(/\s/g, "");
  return reply.status === status && words.every((word) => text.includes(word));
}

function fitsReply(expected: Answered, { echo }: ProbeReply): boolean {
  if (echo === undefined || !expected.by.includes(echo.pod)) return false;
  if (expected.client !== undefined && echo.client !== expected.client) return false;
  if (expected.port !== undefined && echo.port !== expected.port) return false;
  return !expected.clientNot.includes(echo.client);
}

function fitsTogether(expected: Answered, results: readonly ProbeResult[]): boolean {
  const answering = new Set(
    results.map((result) => (result.kind === "reply" ? result.echo?.pod : undefined)),
  );
  if (expected.sameOne && answering.size > 1) return false;
  return !expected.every || expected.by.every((name) => answering.has(name));
}

function formatExpectation(expected: Expectation): string {
  switch (expected.kind) {
    case "answered":
      return formatAnswered(expected);
    case "http":
      return `HTTP ${[expected.status, ...expected.words].join(" ")}`;
    case "refused":
      return "REFUSED";
    case "dropped":
      return "TIMEOUT";
    case "unanswered":
      return "no reply";
  }
}

function formatAnswered({ by, every, sameOne, client, clientNot, port }: Answered): string {
  const who = every ? "each of" : sameOne ? "always the same of" : "only";
  const parts = [`REPLY from ${who} ${by.join(", ")}`];
  if (client !== undefined) parts.push(`client ${client}`);
  if (clientNot.length > 0) parts.push(`client not ${clientNot.join(", ")}`);
  if (port !== undefined) parts.push(`port ${port}`);
  return parts.join(", ");
}

function formatResult(result: ProbeResult): string {
  switch (result.kind) {
    case "reply":
      return formatReply(result);
    case "timeout":
    case "reset":
      return `${result.kind.toUpperCase()} (${result.phase})`;
    case "unreachable":
    case "failed":
      return `${result.kind.toUpperCase()} (${result.code})`;
    case "refused":
    case "closed":
      return result.kind.toUpperCase();
  }
}

function formatReply({ echo, status, text }: ProbeReply): string {
  if (echo === undefined) return `HTTP ${status ?? "?"} "${text.trim().slice(0, 120)}"`;
  return `REPLY from ${echo.pod} (client ${echo.client}, port ${echo.port})`;
}
