// The door for what enrolled pods send straight to the addresses of other enrolled pods, without a
// Service: each connection is carried on, in a tunnel where there is one to take.

import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import { Splice } from "../../lib/reactor/splice.ts";
import { type StreamEnds, TcpStream } from "../../lib/reactor/tcp-stream.ts";
import type { JudgeRequest } from "./inspection.ts";
import type { TunnelDialer, TunnelRoute } from "./tunnel-dialer.ts";
import { ClientCounts } from "./client-counts.ts";
import { CONNECT_LIMIT_MS, MOST_DIRECT_PER_CLIENT } from "./tunnel-limits.ts";
import type { TunnelParts } from "./tunnel-parts.ts";
import type { TunnelResult } from "./tunnel-telemetry.ts";

type DirectParts = Pick<TunnelParts, "reactor" | "onFinished" | "telemetry">;

export class DirectRelays {
  readonly #parts: DirectParts;
  readonly #dialer: TunnelDialer;
  readonly #mostPerClient: number;
  readonly #relays = new Set<DirectRelay>();
  readonly #byClient = new ClientCounts();

  constructor(
    parts: DirectParts,
    dialer: TunnelDialer,
    mostPerClient: number = MOST_DIRECT_PER_CLIENT,
  ) {
    this.#parts = parts;
    this.#dialer = dialer;
    this.#mostPerClient = mostPerClient;
  }

  get isIdle(): boolean {
    return this.#relays.size === 0;
  }

  /** @param ends `local` is the pod and port that was dialled */
  accept(fd: number, ends: StreamEnds): void {
    const client = ends.remote.address;
    const route = this.#dialer.routeOf(ends.local, client, "begins");
    const down = TcpStream.accepted(this.#parts.reactor, fd, ends, NOBODY);
    // The kernel sends nobody else here: a pod that has just gone.
    if (route.kind !== "denied" && route.source === undefined) return down.reset();
    if (this.#byClient.of(client) >= this.#mostPerClient) return down.reset();
    const relay = new DirectRelay(this.#parts, { down, route }, () => {
      this.#relays.delete(relay);
      this.#byClient.remove(client);
    });
    this.#relays.add(relay);
    this.#byClient.add(client);
    relay.start(this.#dialer);
  }

  /** To be called every second. */
  sweep(): void {
    for (const relay of this.#relays) relay.sweep();
  }

  /** Policies changed: ends what they allow no more. */
  rejudge(): void {
    for (const relay of this.#relays) relay.rejudge(this.#dialer);
  }

  /** Ends everything now. */
  close(): void {
    for (const relay of this.#relays) relay.abort();
  }
}

class DirectRelay {
  readonly #parts: DirectParts;
  readonly #down: TcpStream;
  readonly #route: TunnelRoute;
  readonly #onOver: () => void;
  readonly #startedMs: number;
  #up: ByteStream | undefined;
  #splice: Splice | undefined;
  #deniedBy: string | undefined;
  #over = false;

  constructor(
    parts: DirectParts,
    { down, route }: { readonly down: TcpStream; readonly route: TunnelRoute },
    onOver: () => void,
  ) {
    this.#parts = parts;
    this.#down = down;
    this.#route = route;
    this.#onOver = onOver;
    this.#startedMs = parts.reactor.nowMs;
  }

  start(dialer: TunnelDialer): void {
    const { local, remote } = this.#down;
    this.#down.owner = { ...NOBODY, onClosed: () => this.#cancel() };
    const options = { to: local, from: remote.address, client: remote.address };
    const up = dialer.dial(options, {
      ...NOBODY,
      onOpen: () => this.#join(),
      onClosed: () => this.#fail("failed"),
    });
    if (typeof up !== "string") this.#up = up;
    else this.#fail(this.#route.kind === "denied" ? "denied" : "failed");
  }

  sweep(): void {
    const { nowMs } = this.#parts.reactor;
    if (this.#splice !== undefined) return this.#splice.sweep(nowMs);
    // A dial through a tunnel ends by itself.
    if (nowMs - this.#startedMs > 2 * CONNECT_LIMIT_MS) this.abort();
  }

  /** What is inspected is judged by the dialler. */
  rejudge(dialer: TunnelDialer): void {
    const { local, remote } = this.#down;
    const now = dialer.routeOf(local, remote.address);
    // What was not read so far cannot be read from its middle on.
    const isUnread = judgeOf(now) !== undefined && judgeOf(this.#route) === undefined;
    if (now.kind !== "denied" && !isUnread) return;
    this.#deniedBy = now.kind === "denied" ? now.rule : "its requests would have to be read";
    this.abort();
  }

  abort(): void {
    if (this.#splice !== undefined) return this.#splice.abort();
    this.#up?.reset();
    this.#fail("failed");
  }

  #join(): void {
    if (this.#up === undefined || this.#over) return;
    this.#splice = new Splice(this.#down, this.#up, (result) =>
      this.#end(result === "ok" ? "ok" : "failed"),
    );
  }

  /** The client is gone before anybody answered. */
  #cancel(): void {
    this.#up?.reset();
    this.#end("cancelled");
  }

  #fail(result: TunnelResult): void {
    this.#down.reset();
    this.#end(result);
  }

  /** Of what went through a tunnel the tunnel tells. */
  #end(how: TunnelResult): void {
    if (this.#over) return;
    this.#over = true;
    this.#onOver();
    const route = this.#route;
    if (route.kind === "tunnel" || route.source === undefined) return;
    const rule = route.kind === "denied" ? route.rule : this.#deniedBy;
    const result = rule === undefined ? how : "denied";
    const destination = route.kind === "plaintext" ? undefined : route.destination;
    this.#parts.telemetry.connection("client", result);
    this.#parts.onFinished({
      side: "client",
      via: route.kind === "plaintext" ? "plaintext" : "node",
      source: route.source,
      ...(destination === undefined ? {} : { destination }),
      ...(rule === undefined ? {} : { rule }),
      client: this.#down.remote.address,
      target: this.#down.local,
      sentBytes: this.#splice?.nearBytes ?? 0,
      receivedBytes: this.#splice?.farBytes ?? 0,
      durationMs: this.#parts.reactor.nowMs - this.#startedMs,
      result,
    });
  }
}

function judgeOf(route: TunnelRoute): JudgeRequest | undefined {
  return route.kind === "node" || route.kind === "plaintext" ? route.judge : undefined;
}

const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };
