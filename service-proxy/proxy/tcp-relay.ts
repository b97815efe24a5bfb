// Carries bytes between a client and an endpoint without reading them: backpressure both ways,
// half-close as it comes, a reset for a reset, and an end to connections where nothing moves.

import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import type { Result } from "../model/edge.ts";
import type { FrontendSide } from "../model/proxy-plan.ts";
import { type Client, countRefusal, edgeService } from "./client.ts";
import { ClientGuard } from "./client-guard.ts";
import type { Expiring } from "./deadlines.ts";
import { formatProxyHeader } from "./proxy-protocol.ts";
import type { ServedGroup, ServedPort } from "./proxy-tables.ts";
import type { StreamParts } from "./relay-parts.ts";
import { reportDenied } from "./tcp-report.ts";
import { type DialFailure, type Dialled, UpstreamDial } from "./upstream-dial.ts";

export interface TcpRelayRequest {
  readonly client: Client;
  readonly side: FrontendSide;
  readonly port: ServedPort;
  readonly group: ServedGroup;
  /** The route that chose the group; empty for none. */
  readonly route: string;
  /** What was read of the client already; sent on first. */
  readonly early?: Buffer;
  /** Called once, when both connections are gone. */
  readonly onEnd: () => void;
}

/** Some reader may be slow: see ByteStream.awaitReader. Shorter than any idle timeout. */
const STALLED_AFTER_MS = 10_000;

export class TcpRelay implements Expiring {
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly #parts: StreamParts;
  readonly #request: TcpRelayRequest;
  readonly #down: ByteStream;
  readonly #downSide: Direction;
  #dial: UpstreamDial | undefined;
  #dialled: Dialled | undefined;
  /** Of the policies when it was dialled. */
  readonly #revision: number;
  readonly #startedMs: number;
  #edge = -1;
  #received = 0;
  #sent = 0;
  #movedMs = 0;
  #open = 2;

  /** @param down accepted, and paused */
  constructor(parts: StreamParts, down: ByteStream, request: TcpRelayRequest) {
    this.#parts = parts;
    this.#revision = parts.dialer.revision;
    this.#startedMs = parts.reactor.nowMs;
    this.#request = request;
    this.#down = down;
    this.#downSide = new Direction(this);
    down.owner = this.#downSide;
    const { group, client, side, port } = request;
    const { connectTimeoutMs } = port.plan.limits;
    this.#dial = new UpstreamDial(parts, { group, client, side, connectTimeoutMs }, this);
  }

  onDialled(dialled: Dialled): void {
    this.#dial = undefined;
    this.#dialled = dialled;
    const { client, group, route, early } = this.#request;
    const { connections, deadlines, reactor } = this.#parts;
    const { stream, endpoint, connectMs } = dialled;
    this.#edge = connections.slot(
      client.source,
      edgeService(group.plan),
      route,
      endpoint.key,
      reactor.nowMs,
    );
    connections.started(this.#edge);
    endpoint.answered(reactor.nowMs, connectMs);
    const upSide = new Direction(this);
    stream.owner = upSide;
    this.#downSide.other = stream;
    upSide.other = this.#down;
    this.#moved(0, 0);
    deadlines.add(this);
    if (group.plan.proxyProtocol) stream.push(formatProxyHeader(client, this.#down.local));
    this.#down.resume();
    if (early !== undefined) this.carried(this.#downSide, early, 0, early.length);
    // Policies may have changed since it was dialled.
    if (this.#parts.dialer.revision !== this.#revision) this.rejudge();
  }

  onDialFailed(why: DialFailure, rule: string | undefined): void {
    const { client, group, route } = this.#request;
    countRefusal(this.#parts, client, { group: group.plan, route }, why);
    if (why === "denied") this.#tellDenied(rule);
    this.#dial = undefined;
    this.#down.reset();
    this.#request.onEnd();
  }

  /** @internal Bytes of one side for the other. */
  carried(from: Direction, bytes: Buffer, start: number, end: number): void {
    const { other } = from;
    if (other === undefined) return;
    const isUp = from === this.#downSide;
    this.#moved(isUp ? end - start : 0, isUp ? 0 : end - start);
    if (!other.write(bytes, start, end)) this.#sourceOf(from)?.pause();
  }

  /** @internal What waited for a side has been sent: its source may go on. */
  drained(side: Direction): void {
    (side === this.#downSide ? this.#dialled?.stream : this.#down)?.resume();
  }

  /** @internal */
  ended(side: Direction): void {
    side.other?.end();
  }

  /** @internal */
  closed(side: Direction, code: string | undefined): void {
    if (this.#dialled === undefined) {
      this.#dial?.cancel();
      this.#request.onEnd();
      return;
    }
    if (code !== undefined) {
      side.other?.reset();
      return this.#finish(side === this.#downSide ? "cancelled" : "reset");
    }
    side.other?.end();
    if (--this.#open === 0) this.#finish("ok");
  }

  onDeadline(nowMs: number): void {
    const idleMs = this.#movedMs + this.#request.port.plan.limits.idleTimeoutMs;
    if (nowMs >= idleMs) return this.abort("timeout");
    this.#down.awaitReader();
    this.#dialled?.stream.awaitReader();
    this.deadlineMs = Math.min(idleMs, nowMs + STALLED_AFTER_MS);
  }

  rejudge(): void {
    const endpoint = this.#dialled?.endpoint.endpoint;
    if (endpoint === undefined) return;
    const guard = new ClientGuard(this.#parts.dialer, this.#request);
    if (guard.permits(endpoint)) return;
    this.#tellDenied(guard.rule);
    this.abort("denied");
  }

  /** Bytes are not ours to end: a relay lasts until the peers end it, or the time is over. */
  drain(): void {}

  /** Resets both sides. */
  abort(result: Result): void {
    this.#dial?.cancel();
    this.#down.reset();
    this.#dialled?.stream.reset();
    if (this.#dialled === undefined) this.#request.onEnd();
    else this.#finish(result);
  }

  #finish(result: Result): void {
    const { connections, deadlines, reactor } = this.#parts;
    const dialled = this.#dialled;
    if (dialled === undefined || this.#edge < 0) return;
    const edge = this.#edge;
    this.#edge = -1;
    deadlines.remove(this);
    connections.transferred(edge, this.#received, this.#sent);
    connections.proven(edge, dialled.stream.proof?.carrier);
    connections.finished(edge, result, dialled.connectMs);
    // Where nothing moved for long, nobody is to blame.
    const outcome = result === "reset" ? "error" : "ok";
    const ejected = dialled.endpoint.finished(reactor.nowMs, outcome, Number.NaN);
    if (ejected) connections.ejected(edge);
    this.#request.onEnd();
  }

  #tellDenied(rule: string | undefined): void {
    const { client, group, route } = this.#request;
    reportDenied(this.#parts, client, {
      service: edgeService(group.plan),
      route,
      endpoint: this.#dialled?.endpoint.key ?? "",
      rule,
      proof: this.#dialled?.stream.proof,
      durationMs: this.#parts.reactor.nowMs - this.#startedMs,
      receivedBytes: this.#received,
      sentBytes: this.#sent,
    });
  }

  #moved(received: number, sent: number): void {
    this.#received += received;
    this.#sent += sent;
    this.#movedMs = this.#parts.reactor.nowMs;
    this.deadlineMs = this.#movedMs + STALLED_AFTER_MS;
  }

  #sourceOf(side: Direction): ByteStream | undefined {
    return side === this.#downSide ? this.#down : this.#dialled?.stream;
  }
}

/** One of the two connections of a relay. */
class Direction implements StreamOwner {
  /** The connection that gets what comes from this one. */
  other: ByteStream | undefined;
  readonly #relay: TcpRelay;

  constructor(relay: TcpRelay) {
    this.#relay = relay;
  }

  onData(bytes: Buffer, start: number, end: number): void {
    this.#relay.carried(this, bytes, start, end);
  }

  onEnd(): void {
    this.#relay.ended(this);
  }

  onDrained(): void {
    this.#relay.drained(this);
  }

  onClosed(code: string | undefined): void {
    this.#relay.closed(this, code);
  }
}
