// What a probe can be asked and how a try can end.

import type { Address } from "../lib/ip/address.ts";
import type { EchoReply } from "./echo-protocol.ts";

export type ProbeProtocol = "tcp" | "udp" | "http";

export interface ProbeTarget {
  readonly protocol: ProbeProtocol;
  readonly address: Address;
  readonly port: number;
}

export interface ProbeOptions {
  /** Of this host. @default the kernel's choice */
  readonly sourceAddress?: Address;
  /** Fixed source ports make UDP probes one flow to conntrack. @default the kernel's choice */
  readonly sourcePort?: number;
  /** For the whole try, from SYN to answer. @default 1000 */
  readonly timeoutMs?: number;
  /** HTTP only. @default "/" */
  readonly path?: string;
  /** HTTP only; `host` among them wins over the target's. @default none */
  readonly headers?: Readonly<Record<string, string>>;
}

export type ProbeRequest = ProbeTarget & ProbeOptions;

/** A try ended in silence or a broken connection: before or after the handshake? */
export type ProbePhase = "connect" | "answer";

export interface ProbeReply {
  readonly kind: "reply";
  /** TCP: the first line. UDP: the datagram. HTTP: the body. */
  readonly text: string;
  /** Set when an echo server answered. */
  readonly echo?: EchoReply;
  /** HTTP only. */
  readonly status?: number;
  /** As the caller's socket had it; the server may have seen another. */
  readonly localPort: number;
  /** From the first packet to the answer, in microseconds, as a busy JavaScript thread sees it. */
  readonly rttUs: number;
}

export type ProbeFailure =
  /** RST to a SYN, or ICMP port unreachable. */
  | { readonly kind: "refused" }
  /** Nothing came in time. UDP has no handshake: its phase is always `answer`. */
  | { readonly kind: "timeout"; readonly phase: ProbePhase }
  /** RST on a connection that stood. */
  | { readonly kind: "reset"; readonly phase: ProbePhase }
  /** FIN before an answer. */
  | { readonly kind: "closed" }
  /**
   * Any other ICMP error, or no route here. `code` is the errno's name. The kernel hides ICMP's
   * "net" and "host unreachable" from IPv4 UDP sockets: a `timeout` there.
   */
  | { readonly kind: "unreachable"; readonly code: string }
  /** Nothing the network did, such as a source port that is taken. */
  | { readonly kind: "failed"; readonly code: string };

export type ProbeResult = ProbeReply | ProbeFailure;

/** Connections per second at fixed times, whatever happens to earlier ones; never retried. */
export interface LoadOptions extends ProbeOptions {
  readonly ratePerSecond: number;
  /** The load ends by itself after this. */
  readonly durationMs: number;
}

export type LoadRequest = ProbeTarget & LoadOptions;

export interface LoadFailure {
  /** Counted from 1 in the order of starting. */
  readonly number: number;
  /** When it started, in milliseconds since the load began. */
  readonly startMs: number;
  readonly failure: ProbeFailure;
}

export interface LoadPod {
  readonly count: number;
  /** Start of the first and last connection it answered, in milliseconds since the load began. */
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface LoadReport {
  readonly started: number;
  readonly answered: number;
  /** `started - answered`; all of them, though `failures` keeps only the first thousand. */
  readonly failed: number;
  readonly failures: readonly LoadFailure[];
  /** By pod name; what no echo server answered counts as "". */
  readonly pods: Readonly<Record<string, LoadPod>>;
  /** Time to answer of answered connections, in microseconds; 0 when there are none. */
  readonly rttUs: { readonly p50: number; readonly p99: number; readonly maximum: number };
}

/** A connection that is kept open, or how opening it failed. */
export type OpenResult = (ProbeReply & { readonly connection: number }) | ProbeFailure;

/** Calls that `probe-process.ts` takes on standard input. */
export interface ProbeCalls {
  readonly probe: {
    readonly request: {
      readonly probe: ProbeRequest;
      readonly count: number;
      readonly parallel: number;
    };
    readonly reply: readonly ProbeResult[];
  };
  readonly open: { readonly request: ProbeRequest; readonly reply: OpenResult };
  readonly say: {
    readonly request: {
      readonly connection: number;
      readonly text: string;
      readonly timeoutMs: number;
    };
    readonly reply: ProbeResult;
  };
  readonly close: { readonly request: { readonly connection: number }; readonly reply: null };
  readonly load: {
    readonly request: { readonly load: number; readonly options: LoadRequest };
    readonly reply: LoadReport;
  };
  readonly "stop-load": { readonly request: { readonly load: number }; readonly reply: null };
}
