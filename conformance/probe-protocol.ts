// What a probe can be asked, how a try can end, and what an echo says. A probe tells the ways to
// fail apart, for they mean different things: nobody listens, somebody drops, somebody hangs up.

import { type Address, parseAddress } from "../lib/ip/address.ts";

export type ProbeProtocol = "tcp" | "udp" | "http";

export interface ProbeTarget {
  readonly protocol: ProbeProtocol;
  readonly address: Address;
  readonly port: number;
}

export interface ProbeRequest extends ProbeTarget {
  /** For the whole try, from the first packet to the answer. */
  readonly timeoutMs: number;
  /** Fixed source ports make UDP probes one flow. @default the kernel's choice */
  readonly sourcePort?: number;
  /** HTTP only. @default "/" */
  readonly path?: string;
}

/** Where in a try it ended: before the handshake or after. UDP knows `answer` alone. */
export type ProbePhase = "connect" | "answer";

export interface ProbeReply {
  readonly kind: "reply";
  /** TCP: the first line. UDP: the datagram. HTTP: the body. */
  readonly text: string;
  /** Set when an echo answered. */
  readonly echo?: EchoReply;
  /** HTTP only. */
  readonly status?: number;
}

export type ProbeFailure =
  /** RST to a SYN, or ICMP port unreachable. */
  | { readonly kind: "refused" }
  /** Nothing came in time. */
  | { readonly kind: "timeout"; readonly phase: ProbePhase }
  /** RST on a connection that stood. */
  | { readonly kind: "reset"; readonly phase: ProbePhase }
  /** FIN before an answer. */
  | { readonly kind: "closed" }
  /** Another ICMP error, or no route here. `code` is the errno's name. */
  | { readonly kind: "unreachable"; readonly code: string }
  /** Nothing the network did, such as a source port that is taken. */
  | { readonly kind: "failed"; readonly code: string };

export type ProbeResult = ProbeReply | ProbeFailure;

/** Whom an answer comes from and whom the server saw, as JSON over TCP, UDP and HTTP alike. */
export interface EchoReply {
  readonly pod: string;
  readonly node: string;
  /** The caller's address as the server saw it. */
  readonly client: Address;
  /** The port that the call arrived at. */
  readonly port: number;
}

/** Reads what an echo sent; undefined when somebody else answered. Never throws. */
export function parseEchoReply(text: string): EchoReply | undefined {
  const value = parseObject(text);
  const { pod, node, port } = value ?? {};
  const client = parseAddress(value?.["client"]);
  const texts = typeof pod === "string" && typeof node === "string";
  if (!texts || client === undefined || typeof port !== "number") return undefined;
  return { pod, node, client, port };
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
