// One question to the network about a policy, and how its answer reads.

import type { Family } from "../../lib/nft/objects.ts";
import type { ProbeResult } from "../../playground/probe-protocol.ts";

/** Where a call goes: the server's own address, or one of its Service. */
export type PolicyEntry = "pod" | "service" | "nodePort";

/** One question to the network, and the answer that is wanted. */
export interface PolicyProbe {
  /** A host of the playground: `pod-1-2`, `client`. */
  readonly client: string;
  /** `pod-2-1` */
  readonly server: string;
  readonly entry: PolicyEntry;
  readonly family: Family;
  readonly protocol: "TCP" | "UDP";
  readonly port: number;
  readonly isAllowed: boolean;
}

/** Answered by the server, or nothing at all: neither a handshake nor a refusal. */
export function isWanted(answer: string, { isAllowed }: PolicyProbe): boolean {
  return answer === (isAllowed ? "answered" : "silence");
}

/** In a few words. */
export function answerOf(result: ProbeResult, { server, protocol }: PolicyProbe): string {
  switch (result.kind) {
    case "reply":
      return result.echo?.pod === server ? "answered" : `answered by ${result.echo?.pod}`;
    case "timeout":
      return protocol === "UDP" || result.phase === "connect" ? "silence" : "silence when open";
    case "unreachable":
    case "failed":
      return `${result.kind}: ${result.code}`;
    default:
      return result.kind;
  }
}

/** For whoever reads that it went wrong. */
export function formatProbe({
  client,
  server,
  entry,
  family,
  protocol,
  port,
  isAllowed,
}: PolicyProbe): string {
  const wanted = isAllowed ? "allowed" : "denied";
  return `${client} > ${server} by its ${entry}, ${family}, ${protocol} ${port}, ${wanted}`;
}
