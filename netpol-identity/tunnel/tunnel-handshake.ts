// From a pair of pods to a connection between their nodes that proves both: connects, secures, and
// asks who answered. Nothing of the pods has been sent until then.

import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import type { Address } from "../../lib/ip/address.ts";
import { TUNNEL_PORT, type TunnelCredential, type TunnelPeer } from "../model/tunnel-plan.ts";
import type { ConnectClient } from "./connect-head.ts";
import type { TunnelParts } from "./tunnel-parts.ts";
import type { SecuredStream } from "./tunnel-security.ts";
import type { HandshakeResult } from "./tunnel-telemetry.ts";

/** Who connects, and to whom. */
export interface TunnelPair {
  readonly client: ConnectClient;
  /** The address to connect from; as the kernel likes where undefined. */
  readonly from: Address | undefined;
  readonly target: { readonly address: Address; readonly peer: TunnelPeer };
}

/** The peer is not who was to be there, or cannot prove it. */
export const WRONG_IDENTITY = "EIDENTITY";

/** Hears one of the two, once, never from within a call. */
export interface HandshakeOwner {
  onSecured(handshake: TunnelHandshake, secured: SecuredStream, notAfterMs: number): void;
  onHandshakeFailed(code: string): void;
}

type HandshakeParts = Pick<TunnelParts, "reactor" | "inner" | "tables" | "security" | "telemetry">;

export class TunnelHandshake implements StreamOwner {
  readonly startedMs: number;
  /** What was shown of ours. */
  credential: TunnelCredential | undefined;
  readonly #parts: HandshakeParts;
  readonly #pair: TunnelPair;
  readonly #owner: HandshakeOwner;
  #stream: ByteStream | undefined;
  #secured: SecuredStream | undefined;
  #over = false;

  constructor(parts: HandshakeParts, pair: TunnelPair, owner: HandshakeOwner) {
    this.#parts = parts;
    this.#pair = pair;
    this.#owner = owner;
    this.startedMs = parts.reactor.nowMs;
    const { from, target } = pair;
    const to = { address: target.address, port: TUNNEL_PORT };
    const stream = parts.inner.dial(from === undefined ? { to } : { to, from }, this);
    if (typeof stream !== "string") this.#stream = stream;
    else parts.reactor.later(() => this.#fail("connect-failed", stream));
  }

  /** Gives up; the owner hears nothing. */
  cancel(result: HandshakeResult): void {
    if (this.#over) return;
    this.#end(result);
    this.#stream?.reset();
  }

  onOpen(): void {
    if (this.#secured === undefined) this.#secure();
    else this.#judge(this.#secured);
  }

  onClosed(code: string | undefined): void {
    const result =
      this.#secured === undefined ? "connect-failed" : (this.#secured.refusal() ?? "tls");
    this.#fail(result, code ?? "ECONNRESET");
  }

  onData(): void {}
  onEnd(): void {
    this.#stream?.reset();
    this.onClosed(undefined);
  }
  onDrained(): void {}

  #secure(): void {
    if (this.#stream === undefined) return;
    const { identity } = this.#pair.client.workload;
    this.credential = this.#parts.tables.credential(identity);
    const secured = this.#parts.security.secure("client", this.#stream, identity, this);
    if (secured === undefined) {
      this.#stream.reset();
      return this.#fail("no-credential", WRONG_IDENTITY);
    }
    this.#secured = secured;
    this.#stream = secured.stream;
  }

  #judge(secured: SecuredStream): void {
    const proof = secured.proof();
    if (proof.kind === "proven" && proof.identity === this.#pair.target.peer.identity) {
      this.#end("ok");
      return this.#owner.onSecured(this, secured, proof.notAfterMs);
    }
    secured.stream.reset();
    this.#fail(proof.kind === "refused" ? proof.reason : "identity", WRONG_IDENTITY);
  }

  #fail(result: HandshakeResult, code: string): void {
    if (this.#over) return;
    this.#end(result);
    this.#owner.onHandshakeFailed(code);
  }

  #end(result: HandshakeResult): void {
    this.#over = true;
    this.#parts.telemetry.handshake("client", result);
  }
}
