// A connection that is dialled on this node to one of its pods, where rules are about requests:
// whoever dials gets one end of a pair, and who inspects stands at the other.

import type { ByteStream, StreamOwner, StreamProof } from "../../lib/reactor/byte-stream.ts";
import { StreamPair } from "../../lib/reactor/stream-pair.ts";
import type { DialOptions } from "../../lib/reactor/transparent-socket.ts";
import type { Inspected, JudgeRequest } from "./inspection.ts";
import type { FlowVerdict, TunnelParts } from "./tunnel-parts.ts";

type InspectedParts = Pick<TunnelParts, "reactor" | "inner" | "inspect">;

const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };

export class InspectedDial {
  readonly options: DialOptions;
  readonly #parts: InspectedParts;
  readonly #proof: StreamProof | undefined;
  readonly #onOver: () => void;
  #judge: JudgeRequest;
  #pair: StreamPair | undefined;
  #up: ByteStream | undefined;
  #inspected: Inspected | undefined;
  #over = false;

  /** @param onOver called once, when a connection that was dialled is gone */
  constructor(
    parts: InspectedParts,
    options: DialOptions,
    { proof, judge }: { readonly proof: StreamProof | undefined; readonly judge: JudgeRequest },
    onOver: () => void,
  ) {
    this.#parts = parts;
    this.options = options;
    this.#proof = proof;
    this.#judge = judge;
    this.#onOver = onOver;
  }

  /** As `Dialer.dial`; to be called once. */
  dial(owner: StreamOwner): ByteStream | string {
    const { to } = this.options;
    const up = this.#dialPod({
      ...NOBODY,
      onOpen: () => this.#join(),
      onClosed: (code) => this.#fail(code ?? "ECONNRESET"),
    });
    if (typeof up === "string") return up;
    this.#up = up;
    const pair = new StreamPair(
      this.#parts.reactor,
      { to, from: this.#client, proof: this.#proof },
      owner,
    );
    this.#pair = pair;
    pair.far.owner = { ...NOBODY, onClosed: () => this.#cancel() };
    return pair.near;
  }

  /** What holds for this connection now. */
  rejudge(verdict: FlowVerdict): void {
    if (verdict.kind === "deny") return this.#abort();
    this.#judge = verdict.kind === "inspect" ? verdict.judge : ALLOWED;
    this.#inspected?.rejudge(this.#judge);
  }

  #dialPod(owner: StreamOwner): ByteStream | string {
    const { to, from } = this.options;
    return this.#parts.inner.dial(from === undefined ? { to } : { to, from }, owner);
  }

  /** The port is not known, and says nothing. */
  get #client(): { readonly address: string; readonly port: number } {
    const { client, from = "" } = this.options;
    return { address: client ?? from, port: 0 };
  }

  #join(): void {
    const [pair, up] = [this.#pair, this.#up];
    if (pair === undefined || up === undefined || this.#over) return;
    this.#inspected = this.#parts.inspect({
      down: pair.far,
      up,
      dial: (owner) => this.#dialPod(owner),
      client: this.#client,
      target: this.options.to,
      proof: this.#proof,
      judge: this.#judge,
      onOver: () => this.#end(),
    });
    pair.open();
  }

  #fail(code: string): void {
    this.#end();
    this.#pair?.fail(code);
  }

  /** Whoever dialled has given up before the pod answered. */
  #cancel(): void {
    this.#up?.close();
    this.#end();
  }

  #abort(): void {
    if (this.#inspected !== undefined) return this.#inspected.abort();
    this.#up?.close();
    this.#fail("EACCES");
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#onOver();
  }
}

const ALLOWED: JudgeRequest = () => ({ kind: "allow", rule: "" });
