// The sessions from one pod to one other, and the connections that wait for them. Never shared
// with another pod, not even of the same identity: sessions come from the client's own address.

import { connectHead } from "./connect-head.ts";
import { type HandshakeOwner, TunnelHandshake, type TunnelPair } from "./tunnel-handshake.ts";
import {
  CONNECT_LIMIT_MS,
  EXPIRY_MARGIN_MS,
  ASK_AGAIN_MS,
  IDLE_SWEEPS,
  NEWS_WITHIN_MS,
  SESSIONS_PER_PAIR,
  WAITING_PER_PAIR,
} from "./tunnel-limits.ts";
import type { TunnelParts } from "./tunnel-parts.ts";
import type { SecuredStream } from "./tunnel-security.ts";
import { TunnelSession } from "./tunnel-session.ts";
import type { TunnelStream } from "./tunnel-stream.ts";
import type { TunnelCredential } from "../model/tunnel-plan.ts";

/** What the door of a pod that is not enrolled says, and what a node without doors says. */
const MAY_NOT_KNOW: ReadonlySet<string> = new Set(["ECONNRESET", "ECONNREFUSED"]);

interface Wish {
  readonly stream: TunnelStream;
  readonly traceparent: string;
  /** A session that it was given to broke before it was answered. */
  wasRefused: boolean;
}

interface Pooled {
  readonly session: TunnelSession;
  readonly secured: SecuredStream;
  readonly credential: TunnelCredential | undefined;
  readonly notAfterMs: number;
  idleSweeps: number;
}

export class TunnelPool implements HandshakeOwner {
  readonly pair: TunnelPair;
  readonly #parts: TunnelParts;
  readonly #sessions = new Set<Pooled>();
  #waiting = new Map<TunnelStream, Wish>();
  /** Asked for, and not answered when last looked at. */
  readonly #asked = new Map<TunnelStream, Wish>();
  #handshake: TunnelHandshake | undefined;
  #closed = false;

  constructor(parts: TunnelParts, pair: TunnelPair) {
    this.#parts = parts;
    this.pair = pair;
  }

  get isEmpty(): boolean {
    const { size } = this.#sessions;
    return size === 0 && this.#waiting.size === 0 && this.#handshake === undefined;
  }

  /** Carries a stream as soon as there is a session with room; the stream hears how it went. */
  open(stream: TunnelStream, traceparent: string): void {
    if (this.#waiting.size >= WAITING_PER_PAIR) {
      return this.#parts.reactor.later(() => stream.fail("EAGAIN"));
    }
    this.#waiting.set(stream, { stream, traceparent, wasRefused: false });
    this.#serve();
  }

  /** The stream is over. */
  forget(stream: TunnelStream): void {
    this.#waiting.delete(stream);
    this.#asked.delete(stream);
  }

  /** What is known of identities changed; the pair is as it was. */
  changed(): void {
    const credential = this.#credential();
    for (const pooled of this.#sessions) {
      if (pooled.secured.proof().kind === "refused") pooled.session.abort("ECONNRESET");
      else if (pooled.credential !== credential) pooled.session.retire();
    }
    this.#serve();
  }

  /** To be called every second. */
  sweep(): void {
    const { reactor, wallMs } = this.#parts;
    const late = reactor.nowMs - CONNECT_LIMIT_MS;
    const wall = wallMs();
    for (const pooled of this.#sessions) this.#sweepOne(pooled, wall);
    if (this.#handshake !== undefined && this.#handshake.startedMs <= late) {
      this.#handshake.cancel("timeout");
      this.onHandshakeFailed("ETIMEDOUT");
    }
    for (const stream of this.#asked.keys()) if (!stream.isWaiting) this.#asked.delete(stream);
    for (const stream of [...this.#waiting.keys(), ...this.#asked.keys()]) {
      if (stream.startedMs <= late) stream.fail("ETIMEDOUT");
    }
    this.#serve();
  }

  /** Sessions end after their last stream. */
  retire(): void {
    for (const { session } of this.#sessions) session.retire();
  }

  /** Ends now: one of the two pods is gone, or all is over. */
  close(): void {
    this.#closed = true;
    this.#handshake?.cancel("unknown-pod");
    this.#handshake = undefined;
    this.#failWaiting("ECONNRESET");
    for (const { session } of this.#sessions) session.abort("ECONNRESET");
  }

  onSecured({ credential }: TunnelHandshake, secured: SecuredStream, notAfterMs: number): void {
    const { reactor, frames, telemetry } = this.#parts;
    this.#handshake = undefined;
    telemetry.open("client", "sessions", 1);
    const session = new TunnelSession(
      {
        reactor,
        frames,
        moved: (received, sent) => telemetry.moved("client", received, sent),
        onOver: () => {
          telemetry.open("client", "sessions", -1);
          this.#sessions.delete(pooled);
          this.#serveLater();
        },
      },
      secured.stream,
      {
        kind: "client",
        onRoom: () => this.#serve(),
        onRefused: (stream) => this.#onRefused(stream),
      },
    );
    const ownMs = credential?.notAfterMs ?? 0;
    const pooled: Pooled = {
      session,
      secured,
      credential,
      notAfterMs: Math.min(notAfterMs, ownMs),
      idleSweeps: 0,
    };
    this.#sessions.add(pooled);
    this.#serve();
    if (credential !== this.#credential()) session.retire();
  }

  /** A node that has not heard yet that its pod is enrolled resets: asked again for a while. */
  onHandshakeFailed(code: string): void {
    this.#handshake = undefined;
    if (!MAY_NOT_KNOW.has(code)) return this.#failWaiting(code);
    const late = this.#parts.reactor.nowMs - NEWS_WITHIN_MS;
    for (const stream of this.#waiting.keys()) {
      if (stream.startedMs > late) continue;
      this.#waiting.delete(stream);
      stream.fail(code);
    }
    if (this.#waiting.size > 0) setTimeout(() => this.#serve(), ASK_AGAIN_MS);
  }

  /** Whoever hears of it may dial again, and waits anew. */
  #failWaiting(code: string): void {
    const waiting = this.#waiting;
    this.#waiting = new Map();
    for (const stream of waiting.keys()) stream.fail(code);
  }

  #serve(): void {
    for (const [stream, wish] of this.#waiting) {
      const session = this.#sessionWithRoom();
      if (session === undefined) return this.#grow();
      this.#waiting.delete(stream);
      this.#asked.set(stream, wish);
      session.connect(stream, connectHead(stream.remote, this.pair.client, wish.traceparent));
    }
  }

  #serveLater(): void {
    if (this.#waiting.size > 0) this.#parts.reactor.later(() => this.#serve());
  }

  /** The first: others run empty and may end. */
  #sessionWithRoom(): TunnelSession | undefined {
    for (const { session } of this.#sessions) if (session.hasRoom) return session;
    return undefined;
  }

  /** One at a time, for all that wait. Without a certificate they wait on: never plaintext. */
  #grow(): void {
    if (this.#handshake !== undefined || this.#sessions.size >= SESSIONS_PER_PAIR) return;
    if (this.#closed || this.#credential() === undefined) return;
    this.#handshake = new TunnelHandshake(this.#parts, this.pair, this);
  }

  #onRefused(stream: TunnelStream): void {
    const wish = this.#asked.get(stream);
    if (wish === undefined || wish.wasRefused || this.#closed) return stream.fail("ECONNRESET");
    wish.wasRefused = true;
    this.#asked.delete(stream);
    this.#waiting.set(stream, wish);
    this.#serveLater();
  }

  #sweepOne(pooled: Pooled, wallMs: number): void {
    const { session, notAfterMs } = pooled;
    session.sweep();
    pooled.idleSweeps = session.streamCount === 0 ? pooled.idleSweeps + 1 : 0;
    if (wallMs >= notAfterMs) session.abort("ECONNRESET");
    else if (wallMs >= notAfterMs - EXPIRY_MARGIN_MS) session.retire();
    else if (pooled.idleSweeps > IDLE_SWEEPS || session.isSpent) session.retire();
  }

  #credential(): TunnelCredential | undefined {
    return this.#parts.tables.credential(this.pair.client.workload.identity);
  }
}
