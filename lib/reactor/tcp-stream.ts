// One TCP connection on a reactor. Bytes come as views of the reactor's one read buffer; writes go
// to the kernel at once, and only what it does not take is copied and kept.

import assert from "node:assert/strict";
import {
  errnoName,
  getSocketOption,
  readSocketOption,
  resetOnClose,
  SOL_SOCKET,
  setSocketOption,
  tryConnect,
  tryRecv,
  trySend,
  tryShutdownWrite,
} from "../sys/ffi.ts";
import type { ByteStream, StreamOwner, StreamProof } from "./byte-stream.ts";
import { copyToKeep } from "./kept-bytes.ts";
import { FAILED, READABLE, type Reactor, type Watcher, WRITABLE } from "./reactor.ts";
import { SendQueue } from "./send-queue.ts";
import type { SocketAddress } from "./socket-address.ts";

export const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const TCP_USER_TIMEOUT = 18;
/** A peer that leaves sent bytes unacknowledged for so long is gone. */
const UNACKNOWLEDGED_MS = 25_000;
/** In `struct tcp_info`: unanswered probes of a shut window, and segments on their way. */
const INFO_PROBES_AT = 3;
const INFO_UNACKNOWLEDGED_AT = 24;
const SO_ERROR = 4;
const EAGAIN = -11;
const EINPROGRESS = -115;
const ENOBUFS = 105;

/** `local` is empty for a connection that was dialled: nobody asks. */
export interface StreamEnds {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
}

type State = "connecting" | "open" | "closed";

export class TcpStream implements ByteStream, Watcher {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  /** For whoever dialled it. */
  proof: StreamProof | undefined;
  readonly #reactor: Reactor;
  readonly #fd: number;
  #owner: StreamOwner;
  #state: State;
  #events = 0;
  readonly #queue: SendQueue;
  #flushing = false;
  #paused = false;
  #peerEnded = false;
  #ending = false;
  #ended = false;
  #patient = false;

  private constructor(
    reactor: Reactor,
    fd: number,
    state: State,
    ends: StreamEnds,
    owner: StreamOwner,
  ) {
    this.#reactor = reactor;
    this.#queue = new SendQueue(reactor);
    this.#fd = fd;
    this.#state = state;
    this.local = ends.local;
    this.remote = ends.remote;
    this.#owner = owner;
  }

  /** Takes a connection that was accepted. Nothing is read before `resume`. */
  static accepted(reactor: Reactor, fd: number, ends: StreamEnds, owner: StreamOwner): TcpStream {
    const stream = new TcpStream(reactor, fd, "open", ends, owner);
    stream.#paused = true;
    reactor.add(fd, 0, stream);
    return stream;
  }

  /**
   * Connects a socket that may be bound already.
   * @returns the stream, or the errno name when the kernel refuses at once; the socket is closed
   */
  static connecting(
    reactor: Reactor,
    fd: number,
    to: { readonly remote: SocketAddress; readonly encoded: Uint8Array },
    owner: StreamOwner,
  ): TcpStream | string {
    const ends = { local: { address: "", port: 0 }, remote: to.remote };
    const result = tryConnect(fd, to.encoded);
    if (result < 0 && result !== EINPROGRESS) {
      reactor.close(fd);
      return errnoName(-result);
    }
    const stream = new TcpStream(reactor, fd, "connecting", ends, owner);
    stream.#events = WRITABLE;
    reactor.add(fd, WRITABLE, stream);
    return stream;
  }

  /** Gives the connection to another owner, from the next event on. */
  get owner(): StreamOwner {
    return this.#owner;
  }

  set owner(owner: StreamOwner) {
    this.#owner = owner;
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Bytes that the kernel has not taken yet. */
  get queuedBytes(): number {
    return this.#queue.lengthBytes;
  }

  /**
   * Sends, in order after all that waits.
   * @returns false when some had to be kept: write less until `onDrained`
   */
  write(bytes: Buffer, start: number, end: number): boolean {
    if (this.#state !== "open" || this.#ending || start === end)
      return this.#queue.lengthBytes === 0;
    let sent = 0;
    if (this.#queue.lengthBytes === 0) {
      sent = trySend(this.#fd, whole(bytes, start, end));
      if (sent === end - start) return true;
      if (sent < 0 && sent !== EAGAIN) {
        this.#failLater(sent);
        return false;
      }
      sent = Math.max(0, sent);
    }
    this.#queue.push(copyToKeep(bytes, start + sent, end));
    this.#watch();
    return false;
  }

  /**
   * Sends at the end of this round of events, together with what else is pushed until then.
   * @param bytes owned by the stream from here on
   */
  push(bytes: Buffer): void {
    if (this.#state !== "open" || this.#ending || bytes.length === 0) return;
    const waiting = this.#queue.lengthBytes > 0;
    this.#queue.push(bytes);
    if (waiting || this.#flushing) return;
    this.#flushing = true;
    this.#reactor.later(() => {
      this.#flushing = false;
      if (this.#state === "open") this.#flush();
    });
  }

  /** Stops reading, so that the peer's window fills. */
  pause(): void {
    this.#paused = true;
    this.#watch();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#watch();
  }

  /**
   * To be called when nothing moved for some seconds. A peer that answers and takes nothing, since
   * its reader is slow, would be ended by TCP_USER_TIMEOUT like one that vanished (Linux 6.18);
   * it is kept until it takes something.
   */
  awaitReader(): void {
    if (this.#state !== "open" || this.#queue.lengthBytes === 0 || this.#patient) return;
    const info = new DataView(new ArrayBuffer(INFO_UNACKNOWLEDGED_AT + 4));
    readSocketOption(this.#fd, IPPROTO_TCP, TCP_INFO, new Uint8Array(info.buffer));
    const unanswered = info.getUint8(INFO_PROBES_AT) > 1;
    if (unanswered || info.getUint32(INFO_UNACKNOWLEDGED_AT, true) > 0) return;
    this.#patient = true;
    setSocketOption(this.#fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 0);
  }

  /** Sends FIN after what waits. The connection is closed once the peer ended, too. */
  end(): void {
    if (this.#state !== "open" || this.#ending) return;
    this.#ending = true;
    if (this.#queue.lengthBytes === 0) this.#finish();
  }

  /** Closes at once: FIN when all was sent and read, as the kernel sees it. Tells nobody. */
  close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#queue.clear();
    this.#reactor.close(this.#fd);
  }

  /** Closes with RST: the peer must not take what it has for all there is. Tells nobody. */
  reset(): void {
    if (this.#state === "closed") return;
    resetOnClose(this.#fd);
    this.close();
  }

  /** Gives the descriptor to somebody else, who watches and closes it from here on. */
  takeDescriptor(): number {
    assert(
      this.#state === "open" && this.#queue.lengthBytes === 0,
      "an idle connection is handed on",
    );
    this.#state = "closed";
    this.#reactor.release(this.#fd);
    return this.#fd;
  }

  onReady(events: number): void {
    if (this.#state === "connecting") return this.#connected(events);
    if ((events & WRITABLE) !== 0) this.#flush();
    if (this.#state === "open" && (events & (READABLE | FAILED)) !== 0) this.#read(events);
  }

  #connected(events: number): void {
    const errno = getSocketOption(this.#fd, SOL_SOCKET, SO_ERROR);
    if (errno !== 0 || (events & FAILED) !== 0) return this.#fail(-(errno || ENOBUFS));
    this.#state = "open";
    this.#watch();
    this.#owner.onOpen?.();
  }

  #read(events: number): void {
    if (this.#paused || this.#peerEnded) {
      // Only a failure is said unasked: a reset, or both directions at their end.
      if ((events & FAILED) === 0) return;
      const errno = getSocketOption(this.#fd, SOL_SOCKET, SO_ERROR);
      if (errno !== 0) return this.#fail(-errno);
      if (this.#peerEnded) return this.#fail(0);
    }
    const buffer = this.#reactor.readBuffer;
    const length = tryRecv(this.#fd, buffer);
    if (length > 0) return this.#owner.onData(buffer, 0, length);
    if (length === EAGAIN) return;
    if (length < 0) return this.#fail(length);
    this.#peerEnded = true;
    if (this.#ended) return this.#fail(0);
    this.#watch();
    this.#owner.onEnd();
  }

  #flush(): void {
    const bytes = this.#queue.whole();
    if (bytes !== undefined) {
      const sent = trySend(this.#fd, bytes);
      if (sent < 0 && sent !== EAGAIN) return this.#fail(sent);
      if (sent > 0 && this.#patient) {
        this.#patient = false;
        limitSilence(this.#fd);
      }
      this.#queue.sent(Math.max(0, sent));
      if (sent < bytes.length) return this.#watch();
    }
    if (this.#ending) return this.#finish();
    this.#watch();
    this.#owner.onDrained();
  }

  #finish(): void {
    this.#ended = true;
    tryShutdownWrite(this.#fd);
    if (this.#peerEnded) return this.#failLater(0);
    this.#watch();
  }

  /** Asks the kernel for what matters now. */
  #watch(): void {
    if (this.#state !== "open") return;
    const read = this.#paused || this.#peerEnded ? 0 : READABLE;
    const events = read | (this.#queue.lengthBytes > 0 && !this.#ended ? WRITABLE : 0);
    if (events === this.#events) return;
    this.#events = events;
    this.#reactor.modify(this.#fd, events);
  }

  /** From within an owner's call: it hears of it after that call. */
  #failLater(result: number): void {
    this.#reactor.later(() => this.#fail(result));
  }

  #fail(result: number): void {
    if (this.#state === "closed") return;
    this.close();
    this.#owner.onClosed(result === 0 ? undefined : errnoName(-result));
  }
}

/** Ends a connection, which inherits this from its listener, whose peer acknowledges nothing. */
export function limitSilence(fd: number): void {
  setSocketOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS);
}

/** The buffer itself where possible: a subarray is an object. */
function whole(bytes: Buffer, start: number, end: number): Buffer {
  return start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end);
}
