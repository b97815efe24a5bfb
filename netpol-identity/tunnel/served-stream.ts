// One stream of a served tunnel: connects to the pod's port from the client's address, answers when
// that stands, and joins the two.

import type { Address } from "../../lib/ip/address.ts";
import type { ByteStream, StreamOwner, StreamProof } from "../../lib/reactor/byte-stream.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import { Splice } from "../../lib/reactor/splice.ts";
import { CONNECT_LIMIT_MS } from "./tunnel-limits.ts";
import type { Inspected, JudgeRequest } from "./inspection.ts";
import type { FlowVerdict, TunnelParts } from "./tunnel-parts.ts";
import type { TunnelStream } from "./tunnel-stream.ts";

interface Wanted {
  readonly stream: TunnelStream;
  readonly target: SocketAddress;
  readonly client: Address;
  readonly proof: StreamProof;
  readonly verdict: FlowVerdict;
}

type ServedParts = Pick<TunnelParts, "reactor" | "inner" | "inspect">;

export class ServedStream {
  readonly #parts: ServedParts;
  readonly #wanted: Wanted;
  readonly #answer: (answer: "connected" | "failed") => void;
  #inner: ByteStream | undefined;
  #splice: Splice | undefined;
  #inspected: Inspected | undefined;
  #verdict: FlowVerdict;
  #deniedBy: string | undefined;

  /** @param answer called once, unless the stream is over before */
  constructor(
    parts: ServedParts,
    wanted: Wanted,
    answer: (answer: "connected" | "failed") => void,
  ) {
    this.#parts = parts;
    this.#wanted = wanted;
    this.#verdict = wanted.verdict;
    this.#answer = answer;
  }

  get target(): SocketAddress {
    return this.#wanted.target;
  }

  /** The rule that ended it after it had begun; undefined: none did. */
  get deniedBy(): string | undefined {
    return this.#deniedBy;
  }

  start(): void {
    this.#wanted.stream.owner = { ...NOBODY, onClosed: () => this.#inner?.close() };
    const inner = this.#dial({
      ...NOBODY,
      onOpen: () => this.#join(),
      onClosed: () => this.#fail(),
    });
    if (typeof inner === "string") this.#parts.reactor.later(() => this.#fail());
    else this.#inner = inner;
  }

  /** What holds for this connection now; requests under way that are denied are broken off. */
  rejudge(verdict: FlowVerdict): void {
    this.#verdict = verdict;
    // What was not read so far cannot be read from its middle on.
    const isUnread = verdict.kind === "inspect" && this.#splice !== undefined;
    if (verdict.kind === "deny" || isUnread) {
      this.#deniedBy = verdict.rule;
      this.close();
    } else this.#inspected?.rejudge(verdict.kind === "inspect" ? verdict.judge : ALLOWED);
  }

  /** To be called every second. */
  sweep(): void {
    const { reactor } = this.#parts;
    const { stream } = this.#wanted;
    if (this.#splice !== undefined) return this.#splice.sweep(reactor.nowMs);
    if (this.#inspected !== undefined) return;
    if (reactor.nowMs - stream.startedMs < CONNECT_LIMIT_MS) return;
    this.#inner?.close();
    this.#fail();
  }

  /** Ends now, whatever its state. */
  close(): void {
    if (this.#splice !== undefined) return this.#splice.abort();
    if (this.#inspected !== undefined) return this.#inspected.abort();
    this.#inner?.close();
    this.#fail();
  }

  #join(): void {
    const { stream, target, proof } = this.#wanted;
    if (this.#inner === undefined || !stream.isWaiting) return;
    this.#answer("connected");
    if (this.#verdict.kind !== "inspect") {
      this.#splice = new Splice(stream, this.#inner, () => {});
      return;
    }
    this.#inspected = this.#parts.inspect({
      down: stream,
      up: this.#inner,
      dial: (owner) => this.#dial(owner),
      client: stream.remote,
      target,
      proof,
      judge: this.#verdict.judge,
      onOver: () => {},
    });
  }

  #dial(owner: StreamOwner): ByteStream | string {
    const { target, client } = this.#wanted;
    return this.#parts.inner.dial({ to: target, from: client }, owner);
  }

  #fail(): void {
    const { stream } = this.#wanted;
    if (!stream.isWaiting) return;
    this.#answer("failed");
    stream.fail("ECONNREFUSED");
  }
}

const ALLOWED: JudgeRequest = () => ({ kind: "allow", rule: "" });
const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };
