// A routed request on its way: sent to an endpoint, to another one where that is safe, until one
// has answered or the time is over. It keeps what may have to be sent again.

import type { StreamProof } from "../../lib/reactor/byte-stream.ts";
import assert from "node:assert/strict";
import type { H1Body } from "../../lib/http/h1-head.ts";
import type { FieldLines } from "../../lib/http/message.ts";
import type { Failure, Result } from "../model/edge.ts";
import { sourceAddress } from "./client.ts";
import { ClientGuard } from "./client-guard.ts";
import type { Expiring } from "./deadlines.ts";
import { type Amounts, type EdgeOfRequest, HttpAttempt } from "./http-attempt.ts";
import type { ClientRequest, ClientResponse } from "./http-client-stream.ts";
import {
  type ForwardingEvent,
  type ForwardingState,
  nextForwardingState,
} from "./http-forwarding-state.ts";
import { MirroredRequest } from "./http-mirror.ts";
import type { HttpParts } from "./http-parts.ts";
import { RequestBody } from "./http-request-body.ts";
import {
  type AttemptEnd,
  decideRetry,
  failureOfEnd,
  isIdempotent,
  resultOfEnd,
} from "./http-retry.ts";
import type { Forwarded, HttpDoor } from "./http-routing.ts";
import { timeLimitMs } from "./http-time-limit.ts";
import type { EndpointState } from "./picker-endpoint.ts";
import type { Freshness } from "./upstream-pool-endpoint.ts";
import type { UpstreamFailure, UpstreamOwner, UpstreamStream } from "./upstream-pool-stream.ts";

const NEVER = Number.POSITIVE_INFINITY;
/** While a client takes nothing of a response (slow read): it holds an endpoint's connection. */
const UNREAD_MS = 300_000;

/** Hears of one request. After `onForwardingEnd` or `onForwardingFailed` it hears nothing. */
export interface ForwardingOwner {
  onInterim(head: ClientResponse, body: H1Body): void;
  onAnswer(head: ClientResponse, body: H1Body, endpoint: string): void;
  /** The view is good during the call. @returns false: `resume` must follow before more comes */
  onAnswerBody(bytes: Buffer, start: number, end: number): boolean;
  onForwardingEnd(trailers: FieldLines): void;
  onForwardingFailed(why: Failure): void;
  /** Whether more of the request's body is wanted now. */
  onAppetite(isHungry: boolean): void;
}

export class ForwardedRequest implements UpstreamOwner, Expiring {
  deadlineMs = NEVER;
  /** How many times it was sent. */
  attempts = 0;
  /** It would have been tried again. */
  budgetExhausted = false;
  /** The policy's rule that did not let it go on, where this node knows. */
  deniedBy: string | undefined;
  readonly #parts: HttpParts;
  readonly #door: HttpDoor;
  readonly #routed: Forwarded;
  readonly #request: ClientRequest;
  readonly #owner: ForwardingOwner;
  readonly #body = new RequestBody();
  readonly #requestDeadlineMs: number;
  #state: ForwardingState = "new";
  #attempt: HttpAttempt | undefined;
  #upstream: UpstreamStream | undefined;
  #failed: readonly EndpointState[] = [];
  #freshness: Freshness;
  #keepsBody: boolean;
  /** Until when the client must have taken what waits for it. */
  #unreadUntilMs = NEVER;

  /** Nothing happens before `start`. The group's circuit has taken the request. */
  constructor(
    parts: HttpParts,
    door: HttpDoor,
    { routed, request }: { readonly routed: Forwarded; readonly request: ClientRequest },
    owner: ForwardingOwner,
  ) {
    this.#parts = parts;
    this.#door = door;
    this.#routed = routed;
    this.#request = request;
    this.#owner = owner;
    const { rule, group, head, mirrors } = routed;
    this.#requestDeadlineMs = parts.reactor.nowMs + timeLimitMs(routed);
    const mayRepeat = isIdempotent(head.method);
    this.#freshness = mayRepeat ? "any" : "young";
    // HTTP/2 says which requests were not processed: those may be sent again whatever they are.
    const isSure = group.plan.protocol === "http2";
    this.#keepsBody = mayRepeat || isSure || rule.retry !== undefined || mirrors.length > 0;
  }

  /** The endpoint that was asked last; empty when none was. */
  get endpoint(): string {
    return this.#attempt?.endpoint.key ?? "";
  }

  /** From the last attempt to the head of its response; undefined without one. */
  get upstreamMs(): number | undefined {
    const { upstreamMs = Number.NaN } = this.#attempt ?? {};
    return Number.isNaN(upstreamMs) ? undefined : upstreamMs;
  }

  /** Of the last attempt. */
  get proof(): StreamProof | undefined {
    return this.#attempt?.proof;
  }

  get isTunnel(): boolean {
    return this.#state === "tunnel";
  }

  start(): void {
    const { deadlines, reactor } = this.#parts;
    deadlines.add(this);
    this.#routed.group.retries.request(reactor.nowMs);
    this.#try();
  }

  /** Takes more of the request's body, or of its tunnel. */
  write(bytes: Buffer, start: number, end: number): void {
    this.#moved();
    const upstream = this.#upstream;
    if (upstream === undefined || this.#keepsBody) {
      this.#body.keep(bytes, start, end);
      if (this.#body.full) {
        if (upstream === undefined) this.#owner.onAppetite(false);
        else this.#forgetBody();
      }
    }
    if (upstream?.write(bytes, start, end) === false) this.#owner.onAppetite(false);
  }

  /** The request is complete; in a tunnel, the client sends no more. */
  end(trailers: FieldLines): void {
    this.#upstream?.end(trailers);
    if (this.#state === "tunnel") return;
    this.#body.ended(trailers);
    this.#mirror();
  }

  /** More of the response may come. */
  resume(): void {
    this.#unreadUntilMs = NEVER;
    this.#moved();
    this.#upstream?.resume();
  }

  /** Ends it, whatever its state, and counts it. @returns false when no endpoint was asked */
  finish(result: Result, amounts: Amounts): boolean {
    this.#move("end");
    this.#cancelUpstream();
    this.#parts.deadlines.remove(this);
    this.#routed.group.circuit.release("requests");
    this.#attempt?.finished(result, amounts);
    return this.#attempt !== undefined;
  }

  onReady(upstream: UpstreamStream): void {
    this.#send(upstream);
  }

  onResponse(head: ClientResponse, body: H1Body): void {
    if (head.status < 200 && head.status !== 101) return this.#owner.onInterim(head, body);
    const attempt = this.#attempt;
    assert(attempt !== undefined, "answered by an attempt");
    attempt.answered();
    if (this.#retries({ status: head.status })) return;
    this.#move(body.kind === "tunnel" ? "switch" : "answer");
    if (body.kind === "tunnel") attempt.switched();
    this.#setDeadline();
    this.#owner.onAnswer(head, body, attempt.endpoint.key);
  }

  onResponseBody(bytes: Buffer, start: number, end: number): void {
    if (!this.#owner.onAnswerBody(bytes, start, end)) {
      this.#upstream?.pause();
      const untilMs = this.#parts.reactor.nowMs + UNREAD_MS;
      this.#unreadUntilMs = Math.min(this.#unreadUntilMs, untilMs);
    }
    this.#moved();
  }

  onResponseEnd(trailers: FieldLines): void {
    this.#forgetUpstream();
    this.#owner.onForwardingEnd(trailers);
  }

  onUpstreamDrained(): void {
    this.#moved();
    this.#owner.onAppetite(true);
  }

  onUpstreamFailed(why: UpstreamFailure): void {
    this.#forgetUpstream();
    this.#attemptFailed(why);
  }

  onDeadline(nowMs: number): void {
    const isOver = nowMs >= this.#requestDeadlineMs && this.#state !== "tunnel";
    if (this.#state === "backoff" && !isOver) return this.#try();
    this.#cancelUpstream();
    // The endpoint is not to blame for a client that does not read.
    const isUnread = this.#state === "answered" && nowMs >= this.#unreadUntilMs;
    if (isUnread) this.#owner.onForwardingFailed("cancelled");
    else if (isOver) this.#owner.onForwardingFailed("timeout");
    else this.#attemptFailed("timeout");
  }

  /** What streams for long would outlive what allowed it; others are judged when they come. */
  rejudge(): void {
    const attempt = this.#attempt;
    if (attempt === undefined || this.#state === "over") return;
    const guard = new ClientGuard(this.#parts.dialer, this.#door);
    if (guard.permits(attempt.endpoint.endpoint)) return;
    this.deniedBy = guard.rule;
    this.#cancelUpstream();
    this.#owner.onForwardingFailed("denied");
  }

  /** Picks an endpoint and gets a connection to it. */
  #try(): void {
    this.#move("dial");
    const { reactor, random, pools } = this.#parts;
    const { client, side, dialled, port } = this.#door;
    const { group, session } = this.#routed;
    const guard = new ClientGuard(this.#parts.dialer, this.#door);
    const { permits } = guard;
    const asked = { clientAddress: client.address, avoid: this.#failed, permits };
    const kept = session?.endpointOf(group, this.#failed);
    const endpoint =
      kept !== undefined && permits(kept.endpoint)
        ? kept
        : group.endpoints.pick(asked, reactor.nowMs, random);
    if (endpoint === undefined) {
      this.deniedBy = guard.rule;
      const why = guard.rule === undefined ? "no-endpoints" : "denied";
      return this.#owner.onForwardingFailed(why);
    }
    this.attempts++;
    const attempt = new HttpAttempt(this.#parts, endpoint, this.#names());
    this.#attempt = attempt;
    this.#setDeadline();
    const from = sourceAddress(client, side, endpoint.endpoint);
    const { connectTimeoutMs } = port.plan.limits;
    const target = { group, endpoint, from, client, dialled, connectTimeoutMs };
    const opened = pools.open(target, this, this.#freshness);
    attempt.upstream = opened;
    if (opened.kind === "stream") this.#send(opened);
  }

  #send(upstream: UpstreamStream): void {
    this.#move("send");
    this.#upstream = upstream;
    if (this.#attempt !== undefined) {
      this.#attempt.upstream = upstream;
      this.#attempt.proof = upstream.proof;
    }
    const { body, expectContinue } = this.#request;
    upstream.send({ head: this.#routed.head, body, expectContinue });
    let isHungry = true;
    for (const chunk of this.#body.chunks) isHungry = upstream.write(chunk, 0, chunk.length);
    if (this.#body.trailers !== undefined) upstream.end(this.#body.trailers);
    if (!this.#keepsBody || this.#body.full) this.#forgetBody();
    this.#owner.onAppetite(isHungry);
  }

  #attemptFailed(why: Exclude<AttemptEnd, object>): void {
    if (!this.#retries(why)) this.#owner.onForwardingFailed(failureOfEnd(why));
  }

  /** @returns true when another attempt will follow, or has begun */
  #retries(end: AttemptEnd): boolean {
    const { reactor, random } = this.#parts;
    const { rule, group, head } = this.#routed;
    const attempt = this.#attempt;
    if (this.#state !== "connecting" && this.#state !== "sent") return false;
    if (!this.#body.whole || attempt === undefined) return false;
    const facts = { method: head.method, attempts: this.attempts, random: random() };
    const decision = decideRetry(end, rule, facts);
    if (decision === undefined) return false;
    if (decision.atFault) {
      this.budgetExhausted = !group.retries.tryRetry(reactor.nowMs);
      if (this.budgetExhausted) return false;
      this.#failed = [...this.#failed, attempt.endpoint];
    }
    this.#cancelUpstream();
    attempt.retried();
    const result = decision.atFault ? resultOfEnd(end) : "cancelled";
    attempt.finished(result, { latencyMs: Number.NaN, receivedBytes: 0, sentBytes: 0 });
    this.#attempt = undefined;
    this.#freshness = decision.freshness;
    this.#move("retry");
    if (decision.backoffMs === 0) this.#try();
    else this.deadlineMs = Math.min(reactor.nowMs + decision.backoffMs, this.#requestDeadlineMs);
    return true;
  }

  #mirror(): void {
    if (!this.#body.whole) return;
    const { head, mirrors } = this.#routed;
    for (const group of mirrors) {
      MirroredRequest.send(this.#parts, this.#door, { head, chunks: this.#body.chunks, group });
    }
  }

  #forgetBody(): void {
    this.#keepsBody = false;
    this.#body.forget();
  }

  #forgetUpstream(): void {
    this.#upstream = undefined;
    if (this.#attempt !== undefined) this.#attempt.upstream = undefined;
  }

  #cancelUpstream(): void {
    const upstream = this.#attempt?.upstream;
    this.#forgetUpstream();
    upstream?.cancel();
  }

  /** Bytes moved: an answer that goes on is not idle. */
  #moved(): void {
    if (this.#state === "answered" || this.#state === "tunnel") this.#setDeadline();
  }

  #setDeadline(): void {
    const { nowMs } = this.#parts.reactor;
    let deadlineMs = nowMs + this.#door.port.plan.limits.idleTimeoutMs;
    if (this.#state !== "tunnel") deadlineMs = Math.min(deadlineMs, this.#requestDeadlineMs);
    if (this.#state === "answered") deadlineMs = Math.min(deadlineMs, this.#unreadUntilMs);
    const { backendRequestMs = 0 } = this.#routed.rule.timeouts;
    const isAsked = this.#state === "connecting" || this.#state === "sent";
    if (isAsked && backendRequestMs > 0) {
      deadlineMs = Math.min(deadlineMs, nowMs + backendRequestMs);
    }
    this.deadlineMs = deadlineMs;
  }

  #names(): EdgeOfRequest {
    const { client, service } = this.#door;
    return { source: client.source, service, route: this.#routed.rule.route };
  }

  #move(event: ForwardingEvent): void {
    const next = nextForwardingState(this.#state, event);
    assert(next !== undefined, `${event} in ${this.#state}`);
    this.#state = next;
  }
}
