// What tunnels count, and what they say of each connection that they carried. Labels are closed
// sets.

import type { Address } from "../../lib/ip/address.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import type { TlsSide } from "../../lib/tls/tls-context.ts";
import type { SpiffeUri } from "../model/tunnel-plan.ts";
import type { ProofRefusal } from "./tunnel-security.ts";

/**
 * Why a session did not come to be. `identity`: proven, but not the one that was dialled;
 * `too-often`: not begun, since too many of the same address had failed.
 */
export type HandshakeResult =
  | "ok"
  | "connect-failed"
  | "tls"
  | "timeout"
  | "no-credential"
  | "unknown-pod"
  | "limit"
  | "too-often"
  | "identity"
  | ProofRefusal;

/**
 * How a connection ended. `denied`: by a rule, or for what it asked; `failed`: it could not be
 * made, or broke; `cancelled`: reset by our side's end of it.
 */
export type TunnelResult = "ok" | "denied" | "failed" | "cancelled";

/**
 * What carried it: a tunnel; this node alone, which knows both pods; or nothing that proves who
 * they are.
 */
export type TunnelVia = "tunnel" | "node" | "plaintext";

/** One connection that ended, or was refused; each end of a tunnel tells of it. */
export interface TunnelRecord {
  readonly side: TlsSide;
  readonly via: TunnelVia;
  readonly source: SpiffeUri;
  /** Missing where the other end is not known. */
  readonly destination?: SpiffeUri;
  /** The pod that connected. */
  readonly client: Address;
  readonly target: SocketAddress;
  /** From the client's view. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly durationMs: number;
  readonly result: TunnelResult;
  /** What `authorize` said, or what was wrong with the request. */
  readonly rule?: string;
  /** Of a tunnel, as W3C Trace Context spells it. */
  readonly traceparent?: string;
}

/** Both sides of a worker's tunnels; counts since the last one but for `sessions` and `streams`. */
export interface TunnelTelemetryMessage {
  readonly handshakes: readonly (readonly [TlsSide, HandshakeResult, number])[];
  readonly connections: readonly (readonly [TlsSide, TunnelResult, number])[];
  readonly sides: Readonly<Record<TlsSide, SideCounts>>;
}

interface SideCounts {
  /** Open now. */
  sessions: number;
  /** Open now. */
  streams: number;
  receivedBytes: number;
  sentBytes: number;
}

const NONE: SideCounts = { sessions: 0, streams: 0, receivedBytes: 0, sentBytes: 0 };

export class TunnelTelemetry {
  readonly #sides: Record<TlsSide, SideCounts> = { client: { ...NONE }, server: { ...NONE } };
  #handshakes = new Map<HandshakeResult, Record<TlsSide, number>>();
  #connections = new Map<TunnelResult, Record<TlsSide, number>>();

  handshake(side: TlsSide, result: HandshakeResult): void {
    count(this.#handshakes, result, side);
  }

  connection(side: TlsSide, result: TunnelResult): void {
    count(this.#connections, result, side);
  }

  /** @param change of what is open now */
  open(side: TlsSide, what: "sessions" | "streams", change: 1 | -1): void {
    this.#sides[side][what] += change;
  }

  moved(side: TlsSide, receivedBytes: number, sentBytes: number): void {
    this.#sides[side].receivedBytes += receivedBytes;
    this.#sides[side].sentBytes += sentBytes;
  }

  take(): TunnelTelemetryMessage {
    const { client, server } = this.#sides;
    const message = {
      handshakes: rows(this.#handshakes),
      connections: rows(this.#connections),
      sides: { client: { ...client }, server: { ...server } },
    };
    for (const side of [client, server]) {
      side.receivedBytes = 0;
      side.sentBytes = 0;
    }
    this.#handshakes = new Map();
    this.#connections = new Map();
    return message;
  }
}

function count<R>(counts: Map<R, Record<TlsSide, number>>, result: R, side: TlsSide): void {
  const row = counts.get(result) ?? { client: 0, server: 0 };
  row[side]++;
  counts.set(result, row);
}

function rows<R>(counts: ReadonlyMap<R, Record<TlsSide, number>>): [TlsSide, R, number][] {
  return [...counts].flatMap(([result, { client, server }]) => {
    const both: [TlsSide, R, number][] = [
      ["client", result, client],
      ["server", result, server],
    ];
    return both.filter(([, , times]) => times > 0);
  });
}
