// TLS on a reactor's connection: OpenSSL reads and writes the descriptor itself, so bytes are
// copied once, between a record and a buffer of ours.

import type { ByteStream, StreamOwner } from "../reactor/byte-stream.ts";
import { copyToKeep } from "../reactor/kept-bytes.ts";
import { FAILED, READABLE, type Reactor, type Watcher, WRITABLE } from "../reactor/reactor.ts";
import { SendQueue } from "../reactor/send-queue.ts";
import type { SocketAddress } from "../reactor/socket-address.ts";
import type { TcpStream } from "../reactor/tcp-stream.ts";
import {
  chosenProtocol,
  freeSession,
  handshakeSteps,
  peerChain,
  type SessionHandle,
  sayEnd,
  TLS_BROKEN,
  TLS_ENDED,
  TLS_FAILED,
  TLS_WANTS_READ,
  TLS_WANTS_WRITE,
  takeErrors,
  tryDecrypt,
  tryEncrypt,
  tryFlush,
  tryHandshake,
  verifyResult,
} from "../sys/openssl.ts";
import { resetOnClose, tryShutdownWrite } from "../sys/ffi.ts";
import type { TlsContext } from "./tls-context.ts";

/** What TLS refused, or what came after its end. */
export const TLS_FAILURE = "ETLS";
/** Broke off without TLS's own word that it is the end: somebody may have cut it. */
const CUT_OFF = "ECONNRESET";
/** A record's most. */
const RECORD_BYTES = 16_384;
/** Full ones fill the buffer long before. */
const RECORDS_PER_TURN = 128;
/** Then others have theirs, however much has come. */
const TURNS_PER_ROUND = 8;
/**
 * For new keys and tickets in the life of a connection, some three hundred of them: they cost us
 * more than the peer. Whoever changes keys for good reasons does so after some hundred GB.
 */
const MOST_STEPS = 1_024;

type State = "handshake" | "open" | "closed";

/** Its owner hears `onOpen` once the peer's certificates are verified. */
export class TlsStream implements ByteStream, Watcher {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  owner: StreamOwner;
  readonly #reactor: Reactor;
  readonly #fd: number;
  readonly #session: SessionHandle;
  #state: State = "handshake";
  #events = READABLE;
  readonly #queue: SendQueue;
  /** OpenSSL holds bytes that the kernel has no room for. */
  #unsent = false;
  #flushing = false;
  #reading = false;
  /** It had its turns: what comes now is read in another round. */
  #resting = false;
  #paused = false;
  #steps = 0;
  #turns = 0;
  #peerEnded = false;
  #ending = false;
  #ended = false;
  #failure: string | undefined;
  #verifyError = 0;

  private constructor(
    reactor: Reactor,
    stream: TcpStream,
    context: TlsContext,
    owner: StreamOwner,
  ) {
    this.#reactor = reactor;
    this.#queue = new SendQueue(reactor);
    this.local = stream.local;
    this.remote = stream.remote;
    this.owner = owner;
    this.#fd = stream.takeDescriptor();
    this.#session = context.newSession(this.#fd);
    reactor.add(this.#fd, READABLE, this);
    reactor.later(() => this.#shakeHands());
  }

  /** Takes an open connection over, whose peer starts. */
  static server(
    reactor: Reactor,
    stream: TcpStream,
    context: TlsContext,
    owner: StreamOwner,
  ): TlsStream {
    return new TlsStream(reactor, stream, context, owner);
  }

  /** Takes an open connection over, and starts. */
  static client(
    reactor: Reactor,
    stream: TcpStream,
    context: TlsContext,
    owner: StreamOwner,
  ): TlsStream {
    return new TlsStream(reactor, stream, context, owner);
  }

  /** After `onOpen`: the peer's certificates as it showed them, DER, the leaf first. */
  get peerChain(): readonly Buffer[] {
    return this.#state === "open" ? peerChain(this.#session) : [];
  }

  /** After `onOpen`: what ALPN agreed on. */
  get protocol(): string | undefined {
    return this.#state === "open" ? chosenProtocol(this.#session) : undefined;
  }

  /** After `onClosed("ETLS")`: `X509_V_ERR_…` of the peer's certificates; 0: nothing. */
  get verifyError(): number {
    return this.#verifyError;
  }

  /** After `onClosed("ETLS")`: OpenSSL's reason. */
  get failure(): string | undefined {
    return this.#failure;
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get queuedBytes(): number {
    return this.#queue.lengthBytes;
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    if (this.#state !== "open" || this.#ending || start === end) return this.#isClear;
    let at = start;
    if (this.#queue.lengthBytes === 0) at += this.#encrypt(bytes.subarray(start, end));
    if (at < end) this.#queue.push(copyToKeep(bytes, at, end));
    const wasClear = this.#isClear;
    this.#flushBelow();
    // What an earlier write left behind went with this one: its writer still waits to hear that.
    if (!wasClear && this.#isClear) this.#reactor.later(() => this.#tellDrained());
    return this.#isClear;
  }

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

  pause(): void {
    this.#paused = true;
    this.#watch();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#watch();
    // What OpenSSL has read already is told by no event.
    if (this.#state === "open") this.#readLater();
  }

  /** Nothing to tell apart: what runs over TLS here has windows of its own and always reads. */
  awaitReader(): void {}

  end(): void {
    if (this.#state !== "open" || this.#ending) return;
    this.#ending = true;
    if (this.#queue.lengthBytes === 0) this.#finish();
  }

  close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#queue.clear();
    this.#reactor.close(this.#fd);
    // Not now: OpenSSL may be among our callers.
    this.#reactor.later(() => freeSession(this.#session));
  }

  reset(): void {
    if (this.#state === "closed") return;
    resetOnClose(this.#fd);
    this.close();
  }

  onReady(events: number): void {
    if (this.#state === "handshake") return this.#shakeHands();
    if ((events & WRITABLE) !== 0) this.#flush();
    if (this.#state === "open" && (events & (READABLE | FAILED)) !== 0) this.#read(events);
  }

  get #isClear(): boolean {
    return this.#queue.lengthBytes === 0 && !this.#unsent;
  }

  #shakeHands(): void {
    if (this.#state !== "handshake") return;
    const result = tryHandshake(this.#session);
    if (result === TLS_WANTS_READ || result === TLS_WANTS_WRITE) {
      return this.#listenFor(result === TLS_WANTS_READ ? READABLE : WRITABLE);
    }
    if (result < 0) return this.#fail(result);
    this.#state = "open";
    this.#watch();
    this.owner.onOpen?.();
    if (this.#state === "open") this.#readLater();
  }

  #readLater(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#reactor.later(() => this.#readOn());
  }

  /** Goes on after what waits elsewhere: not in this round of events. */
  #rest(): void {
    this.#resting = true;
    setImmediate(() => this.#reactor.later(() => this.#readOn()));
  }

  #readOn(): void {
    this.#reading = false;
    this.#resting = false;
    if (this.#state === "open") this.#read(READABLE);
  }

  /** Fills the shared buffer with records, so that the owner gets many at once. */
  #read(events: number): void {
    if (this.#peerEnded) {
      if ((events & FAILED) !== 0) this.#fail(this.#ended ? 0 : TLS_BROKEN);
      return;
    }
    // A failure is said unasked, and told by reading.
    if (this.#paused && (events & FAILED) === 0) return;
    if (this.#resting) return;
    const buffer = this.#reactor.readBuffer;
    let length = 0;
    let result = 1;
    for (let i = 0; i < RECORDS_PER_TURN && length + RECORD_BYTES <= buffer.length; i++) {
      const before = handshakeSteps();
      result = tryDecrypt(this.#session, length === 0 ? buffer : buffer.subarray(length));
      const steps = handshakeSteps() - before;
      this.#steps += steps;
      if (result > 0) length += result;
      // Behind a message there may be data.
      else if (result === TLS_WANTS_READ && steps > 0) result = 1;
      else break;
    }
    if (length > 0) this.owner.onData(buffer, 0, length);
    if (this.#state !== "open") return;
    if (this.#steps > MOST_STEPS) return this.#fail(TLS_FAILED);
    if (result === TLS_WANTS_READ || result === TLS_WANTS_WRITE) return;
    if (result > 0) return ++this.#turns % TURNS_PER_ROUND === 0 ? this.#rest() : this.#readLater();
    if (result !== TLS_ENDED) return this.#fail(result);
    this.#peerEnded = true;
    if (this.#ended) return this.#fail(0);
    this.#watch();
    this.owner.onEnd();
  }

  /** @returns how many bytes OpenSSL took */
  #encrypt(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length) {
      const taken = tryEncrypt(this.#session, at === 0 ? bytes : bytes.subarray(at));
      if (taken === TLS_WANTS_WRITE || taken === TLS_WANTS_READ) break;
      if (taken <= 0) {
        this.#failLater(taken);
        break;
      }
      at += taken;
    }
    return at;
  }

  #flushBelow(): void {
    if (this.#state !== "open") return;
    const result = tryFlush(this.#session);
    this.#unsent = result === TLS_WANTS_WRITE;
    if (result < 0 && !this.#unsent) this.#failLater(result);
    this.#watch();
  }

  #flush(): void {
    const wasClear = this.#isClear;
    const bytes = this.#queue.whole();
    if (bytes !== undefined) this.#queue.sent(this.#encrypt(bytes));
    this.#flushBelow();
    if (!this.#isClear || wasClear) return;
    if (this.#ending) return this.#finish();
    this.owner.onDrained();
  }

  #tellDrained(): void {
    if (this.#state === "open" && this.#isClear && !this.#ending) this.owner.onDrained();
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    sayEnd(this.#session);
    this.#flushBelow();
    tryShutdownWrite(this.#fd);
    if (this.#peerEnded) this.#failLater(0);
  }

  #watch(): void {
    if (this.#state !== "open") return;
    const read = this.#paused || this.#peerEnded ? 0 : READABLE;
    this.#listenFor(read | (this.#isClear ? 0 : WRITABLE));
  }

  #listenFor(events: number): void {
    if (events === this.#events) return;
    this.#events = events;
    this.#reactor.modify(this.#fd, events);
  }

  #failLater(result: number): void {
    this.#reactor.later(() => this.#fail(result));
  }

  /** @param result 0 when both sides ended in order */
  #fail(result: number): void {
    if (this.#state === "closed") return;
    if (result === TLS_FAILED) {
      this.#failure = takeErrors();
      this.#verifyError = verifyResult(this.#session);
    }
    this.close();
    if (result === 0) this.owner.onClosed(undefined);
    else this.owner.onClosed(result === TLS_FAILED ? TLS_FAILURE : CUT_OFF);
  }
}
