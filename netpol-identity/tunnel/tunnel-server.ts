// The door that tunnels come to, port 15008 of every enrolled pod of this node: chooses the
// certificate by the pod that was dialled, and hands whoever proves an identity to ServedTunnel.

import { KeyedBuckets } from "../../lib/clock/keyed-buckets.ts";
import type { Address } from "../../lib/ip/address.ts";
import type { StreamOwner } from "../../lib/reactor/byte-stream.ts";
import { type StreamEnds, TcpStream } from "../../lib/reactor/tcp-stream.ts";
import type { TunnelCredential, TunnelWorkload } from "../model/tunnel-plan.ts";
import { ClientCounts } from "./client-counts.ts";
import {
  CONNECT_LIMIT_MS,
  FAILED_HANDSHAKES,
  HANDSHAKES_SHARE,
  MOST_HANDSHAKES,
  MOST_PER_CLIENT,
} from "./tunnel-limits.ts";
import type { TunnelParts } from "./tunnel-parts.ts";
import type { SecuredStream } from "./tunnel-security.ts";
import { ServedTunnel } from "./served-tunnel.ts";
import type { HandshakeResult } from "./tunnel-telemetry.ts";

export class TunnelServer {
  readonly #parts: TunnelParts;
  readonly #handshakes = new Set<Arrival>();
  readonly #served = new Set<ServedTunnel>();
  /** Connections of each client, proven or not. */
  readonly #byClient = new ClientCounts();
  /** Those that are not. */
  readonly #unproven = new ClientCounts();
  /** Of each client; paid beforehand, and given back to whoever proves an identity. */
  readonly #failures: KeyedBuckets;

  constructor(parts: TunnelParts) {
    this.#parts = parts;
    this.#failures = new KeyedBuckets({ ...FAILED_HANDSHAKES, nowMs: () => parts.reactor.nowMs });
  }

  get isIdle(): boolean {
    return this.#served.size === 0 && this.#handshakes.size === 0;
  }

  /** @param ends `local` is the pod that was dialled */
  accept(fd: number, ends: StreamEnds): void {
    const { reactor, tables, telemetry } = this.#parts;
    const workload = tables.workload(ends.local.address);
    const stream = TcpStream.accepted(reactor, fd, ends, NOBODY);
    const client = ends.remote.address;
    const refuse = (result: HandshakeResult): void => {
      telemetry.handshake("server", result);
      stream.reset();
    };
    if (workload === undefined) return refuse("unknown-pod");
    if (this.#isFull(client)) return refuse("limit");
    if (!this.#failures.take(client)) return refuse("too-often");
    const arrival = new Arrival(this.#parts, stream, workload, (result, served) => {
      this.#handshakes.delete(arrival);
      this.#unproven.remove(client);
      if (NOT_THEIR_FAILURE.has(result)) this.#failures.give(client);
      if (served === undefined) this.#byClient.remove(client);
      else this.#serve(served, ends, workload);
    });
    this.#handshakes.add(arrival);
    this.#unproven.add(client);
    this.#byClient.add(client);
    arrival.start();
  }

  /** What is known of identities changed. */
  changed(): void {
    for (const served of this.#served) served.changed();
  }

  /** Policies changed: ends what they allow no more. */
  rejudge(): void {
    for (const served of this.#served) served.rejudge();
  }

  /** To be called every second. */
  sweep(): void {
    const late = this.#parts.reactor.nowMs - CONNECT_LIMIT_MS;
    for (const arrival of this.#handshakes) if (arrival.startedMs <= late) arrival.fail("timeout");
    for (const served of this.#served) served.sweep();
  }

  /** Streams that are open go on to their end; peers know that they must go elsewhere. */
  drain(): void {
    for (const served of this.#served) served.drain();
  }

  /** Ends everything now. */
  close(): void {
    for (const arrival of this.#handshakes) arrival.fail("limit");
    for (const served of this.#served) served.close();
  }

  #serve(secured: Secured, ends: StreamEnds, workload: TunnelWorkload): void {
    const served = new ServedTunnel(
      this.#parts,
      { ...secured, workload, client: ends.remote.address, dialled: ends.local.address },
      () => {
        this.#served.delete(served);
        this.#byClient.remove(ends.remote.address);
      },
    );
    this.#served.add(served);
  }

  #isFull(client: Address): boolean {
    const free = MOST_HANDSHAKES - this.#handshakes.size;
    if (this.#unproven.of(client) >= free * HANDSHAKES_SHARE) return true;
    return this.#byClient.of(client) >= MOST_PER_CLIENT;
  }
}

interface Secured {
  readonly secured: SecuredStream;
  readonly credential: TunnelCredential;
  readonly source: string;
  readonly notAfterMs: number;
}

/** @param secured of the result `ok` */
type OnOver = (result: HandshakeResult, secured: Secured | undefined) => void;

/** Proven; or ours: no certificate, or the end of all. */
const NOT_THEIR_FAILURE: ReadonlySet<HandshakeResult> = new Set(["ok", "no-credential", "limit"]);

/** A connection that has not proven anything yet. */
class Arrival implements StreamOwner {
  readonly startedMs: number;
  readonly #parts: TunnelParts;
  readonly #stream: TcpStream;
  readonly #workload: TunnelWorkload;
  readonly #onOver: OnOver;
  #secured: SecuredStream | undefined;
  #credential: TunnelCredential | undefined;
  #over = false;

  constructor(parts: TunnelParts, stream: TcpStream, workload: TunnelWorkload, onOver: OnOver) {
    this.#parts = parts;
    this.#stream = stream;
    this.#workload = workload;
    this.#onOver = onOver;
    this.startedMs = parts.reactor.nowMs;
  }

  start(): void {
    const { identity } = this.#workload;
    this.#credential = this.#parts.tables.credential(identity);
    this.#secured = this.#parts.security.secure("server", this.#stream, identity, this);
    if (this.#secured === undefined) this.fail("no-credential");
  }

  onOpen(): void {
    const [secured, credential] = [this.#secured, this.#credential];
    if (secured === undefined || credential === undefined) return;
    const proof = secured.proof();
    if (proof.kind === "refused") return this.fail(proof.reason);
    const notAfterMs = Math.min(proof.notAfterMs, credential.notAfterMs);
    this.#end("ok", { secured, credential, source: proof.identity, notAfterMs });
  }

  onEnd(): void {
    this.fail("tls");
  }

  onClosed(): void {
    this.fail(this.#secured?.refusal() ?? "tls");
  }

  onData(): void {}
  onDrained(): void {}

  fail(result: HandshakeResult): void {
    if (this.#over) return;
    (this.#secured?.stream ?? this.#stream).reset();
    this.#end(result, undefined);
  }

  #end(result: HandshakeResult, secured: Secured | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#parts.telemetry.handshake("server", result);
    this.#onOver(result, secured);
  }
}

const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };
