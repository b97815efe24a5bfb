// Two connections within this process, back to back: what is written to one of them is told to the
// owner of the other at the end of the round. For a relay that stands between two parts of one
// worker, each of which wants a connection.

import type { ByteStream, StreamOwner, StreamProof } from "./byte-stream.ts";
import { copyToKeep } from "./kept-bytes.ts";
import type { Reactor } from "./reactor.ts";
import type { SocketAddress } from "./socket-address.ts";

/** With so much to tell its owner an end counts as full, though nobody paused it. */
const MOST_WAITING_BYTES = 262_144;
const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };
const NOWHERE: SocketAddress = { address: "", port: 0 };

/** Whom the two are between, as the one who dialled sees it. */
export interface PairEnds {
  readonly to: SocketAddress;
  readonly from: SocketAddress;
  readonly proof: StreamProof | undefined;
}

type PairReactor = Pick<Reactor, "later" | "kept">;

export class StreamPair {
  /** As a connection that is dialled: its owner hears `onOpen`, or `onClosed`. */
  readonly near: ByteStream;
  /** As one that is accepted: paused. Its owner hears when the near one gives up. */
  readonly far: ByteStream;
  readonly #near: PairedStream;

  /** @param owner of the near one */
  constructor(reactor: PairReactor, { to, from, proof }: PairEnds, owner: StreamOwner) {
    const ends = { local: NOWHERE, remote: to, proof };
    const near = new PairedStream(reactor, ends, owner, (self) => {
      return new PairedStream(reactor, { local: to, remote: from }, NOBODY, () => self);
    });
    near.peer.pause();
    this.#near = near;
    this.near = near;
    this.far = near.peer;
  }

  /** The connection stands. Not to be called from within a call of the near one's owner. */
  open(): void {
    this.#near.open();
  }

  /** It could not be made: the near one's owner hears why, as from `open`. */
  fail(code: string): void {
    this.#near.fail(code);
  }
}

interface Ends {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly proof?: StreamProof | undefined;
}

class PairedStream implements ByteStream {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly proof: StreamProof | undefined;
  owner: StreamOwner;
  readonly peer: PairedStream;
  readonly #reactor: PairReactor;
  #state: "connecting" | "open" | "closed" = "connecting";
  /** Written by the peer, and not told yet. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** The peer was told to wait, or sees bytes that wait: it hears when they are taken. */
  #isFull = false;
  #paused = false;
  #ending = false;
  #peerEnded = false;
  #isScheduled = false;

  /** @param peerOf gives the other end, or makes it */
  constructor(
    reactor: PairReactor,
    { local, remote, proof }: Ends,
    owner: StreamOwner,
    peerOf: (self: PairedStream) => PairedStream,
  ) {
    this.#reactor = reactor;
    this.local = local;
    this.remote = remote;
    this.proof = proof;
    this.owner = owner;
    this.peer = peerOf(this);
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get queuedBytes(): number {
    return this.peer.#isFull ? this.peer.#waitingBytes : 0;
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    if (this.#state === "open" && end > start) this.push(copyToKeep(bytes, start, end));
    return !this.peer.#isFull;
  }

  push(bytes: Buffer): void {
    if (this.#state !== "open" || this.#ending || bytes.length === 0) return;
    if (this.peer.#state === "open") this.peer.#take(bytes);
    else this.#reactor.later(() => this.fail("EPIPE"));
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#schedule();
  }

  /** The reader is in this process: it is slow, not dead. */
  awaitReader(): void {}

  end(): void {
    if (this.#state !== "open" || this.#ending) return;
    this.#ending = true;
    this.peer.#schedule();
    if (this.#peerEnded) this.#schedule();
  }

  close(): void {
    // As a socket with unread bytes.
    if (this.#state !== "open" || this.#waitingBytes > 0) return this.reset();
    this.#close();
    this.#ending = true;
    this.peer.#schedule();
  }

  reset(): void {
    if (this.#state === "closed") return;
    this.#close();
    this.#reactor.later(() => this.peer.fail("ECONNRESET"));
  }

  /** Of the near one. */
  open(): void {
    if (this.#state !== "connecting") return;
    this.#state = "open";
    this.peer.#state = "open";
    this.owner.onOpen?.();
  }

  fail(code: string | undefined): void {
    if (this.#state === "closed") return;
    this.#close();
    this.owner.onClosed(code);
  }

  #take(bytes: Buffer): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#reactor.kept(bytes.length);
    this.#isFull ||= this.#paused || this.#waitingBytes > MOST_WAITING_BYTES;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#reactor.later(() => {
      this.#isScheduled = false;
      this.#tell();
    });
  }

  #tell(): void {
    while (this.#state === "open" && !this.#paused) {
      const bytes = this.#waiting.shift();
      if (bytes === undefined) break;
      this.#waitingBytes -= bytes.length;
      this.#reactor.kept(-bytes.length);
      this.owner.onData(bytes, 0, bytes.length);
    }
    if (this.#state !== "open") return;
    if (this.#waitingBytes > 0) this.#isFull = true;
    else if (this.#isFull) {
      this.#isFull = false;
      this.peer.#drained();
    }
    if (!this.#paused) this.#tellEnd();
  }

  #tellEnd(): void {
    const { peer } = this;
    if (this.#waitingBytes > 0 || !peer.#ending) return;
    if (!this.#peerEnded) {
      this.#peerEnded = true;
      // It may wait for this to be closed.
      peer.#schedule();
      if (!this.#ending) this.owner.onEnd();
    }
    if (this.#ending && peer.#waitingBytes === 0) this.fail(undefined);
  }

  #drained(): void {
    if (this.#state === "open" && !this.#ending) this.owner.onDrained();
  }

  #close(): void {
    this.#state = "closed";
    this.#isFull = false;
    this.#reactor.kept(-this.#waitingBytes);
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}
