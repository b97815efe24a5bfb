// One stream of a served tunnel: connects to the pod's port from the client's address, answers when
// that stands, and joins the two.

import type { Address } from "../../lib/ip/address.ts";
import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import { Splice } from "../../lib/reactor/splice.ts";
import { CONNECT_LIMIT_MS } from "./tunnel-limits.ts";
import type { TunnelParts } from "./tunnel-parts.ts";
import type { TunnelStream } from "./tunnel-stream.ts";

interface Wanted {
  readonly stream: TunnelStream;
  readonly target: SocketAddress;
  readonly client: Address;
}

export class ServedStream {
  readonly #parts: Pick<TunnelParts, "reactor" | "inner">;
  readonly #wanted: Wanted;
  readonly #answer: (answer: "connected" | "failed") => void;
  #inner: ByteStream | undefined;
  #splice: Splice | undefined;

  /** @param answer called once, unless the stream is over before */
  constructor(
    parts: Pick<TunnelParts, "reactor" | "inner">,
    wanted: Wanted,
    answer: (answer: "connected" | "failed") => void,
  ) {
    this.#parts = parts;
    this.#wanted = wanted;
    this.#answer = answer;
  }

  start(): void {
    const { stream, target, client } = this.#wanted;
    stream.owner = { ...NOBODY, onClosed: () => this.#inner?.close() };
    const inner = this.#parts.inner.dial(
      { to: target, from: client },
      { ...NOBODY, onOpen: () => this.#join(), onClosed: () => this.#fail() },
    );
    if (typeof inner === "string") this.#parts.reactor.later(() => this.#fail());
    else this.#inner = inner;
  }

  /** To be called every second. */
  sweep(): void {
    const { reactor } = this.#parts;
    const { stream } = this.#wanted;
    if (this.#splice !== undefined) return this.#splice.sweep(reactor.nowMs);
    if (reactor.nowMs - stream.startedMs < CONNECT_LIMIT_MS) return;
    this.#inner?.close();
    this.#fail();
  }

  #join(): void {
    if (this.#inner === undefined || !this.#wanted.stream.isWaiting) return;
    this.#answer("connected");
    this.#splice = new Splice(this.#wanted.stream, this.#inner, () => {});
  }

  #fail(): void {
    const { stream } = this.#wanted;
    if (!stream.isWaiting) return;
    this.#answer("failed");
    stream.fail("ECONNREFUSED");
  }
}

const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };
