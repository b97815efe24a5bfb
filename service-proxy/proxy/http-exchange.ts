// One request from its head to the end of its response: routed, sent to an endpoint, sent to another
// one where that is safe, and answered. It holds no connection: a client stream and an upstream
// stream carry the bytes.

import assert from "node:assert/strict";
import { type H1Body, NO_BODY } from "../../lib/http/h1-head.ts";
import { type FieldLines, fieldValue } from "../../lib/http/message.ts";
import { type Failure, type Result, resultOfGrpcStatus, resultOfStatus } from "../model/edge.ts";
import { sourceAddress } from "./client.ts";
import type { Expiring } from "./deadlines.ts";
import { HttpAttempt } from "./http-attempt.ts";
import type {
  ClientRequest,
  ClientResponse,
  ClientStream,
  ClientStreamOwner,
} from "./http-client-stream.ts";
import {
  type ExchangeEvent,
  type ExchangeState,
  nextExchangeState,
} from "./http-exchange-state.ts";
import { answerOfFailure, grpcStatusOf, type OwnAnswer, plainAnswer } from "./http-failure.ts";
import { MirroredRequest } from "./http-mirror.ts";
import type { HttpParts } from "./http-parts.ts";
import { reportRequest } from "./http-report.ts";
import { RequestBody } from "./http-request-body.ts";
import { filterForClient } from "./http-response.ts";
import { type AttemptEnd, decideRetry, isIdempotent } from "./http-retry.ts";
import { type Forwarded, type HttpDoor, routeRequest } from "./http-routing.ts";
import { RequestSession } from "./http-session.ts";
import type { EndpointState } from "./picker-endpoint.ts";
import type { Freshness } from "./upstream-pool-endpoint.ts";
import type { UpstreamFailure, UpstreamOwner, UpstreamStream } from "./upstream-pool-stream.ts";

const NEVER = Number.POSITIVE_INFINITY;
const NO_FIELDS: FieldLines = [];

export class HttpExchange implements ClientStreamOwner, UpstreamOwner, Expiring {
  deadlineMs = NEVER;
  readonly #parts: HttpParts;
  readonly #door: HttpDoor;
  readonly #client: ClientStream;
  readonly #request: ClientRequest;
  readonly #startedMs: number;
  readonly #body = new RequestBody();
  #state: ExchangeState = "routing";
  #route = "";
  #forwarded: Forwarded | undefined;
  #session: RequestSession | undefined;
  #attempt: HttpAttempt | undefined;
  #upstream: UpstreamStream | undefined;
  #attempts = 0;
  #failed: readonly EndpointState[] = [];
  #freshness: Freshness = "any";
  #keepsBody = true;
  #requestDeadlineMs = NEVER;
  #status = 0;
  #grpcStatus: number | undefined;
  #flags: readonly Failure[] = [];
  #receivedBytes = 0;
  #sentBytes = 0;

  /** Nothing happens before `start`. */
  constructor(parts: HttpParts, door: HttpDoor, client: ClientStream, request: ClientRequest) {
    this.#parts = parts;
    this.#door = door;
    this.#client = client;
    this.#request = request;
    this.#startedMs = parts.reactor.nowMs;
  }

  start(): void {
    const { head } = this.#request;
    if (head.method === "CONNECT") {
      return this.#answer(plainAnswer(405, "CONNECT is not served"), "bad-request");
    }
    const routed = routeRequest(head, this.#door, this.#parts);
    this.#route = routed.rule?.route ?? "";
    switch (routed.kind) {
      case "failure":
        return this.#answer(
          answerOfFailure(routed.failure, this.#isGrpc(routed.rule?.grpc === true)),
          routed.failure,
        );
      case "answer":
        return this.#answer({ ...routed.head, text: "" }, undefined);
      case "forward":
        return this.#forward(routed);
      default:
        return routed satisfies never;
    }
  }

  onRequestBody(bytes: Buffer, start: number, end: number): void {
    this.#receivedBytes += end - start;
    this.#moved();
    const upstream = this.#upstream;
    const isHeld = upstream === undefined;
    if (isHeld || this.#keepsBody) {
      this.#body.keep(bytes, start, end);
      if (isHeld && this.#body.full) this.#client.pause();
      else if (this.#body.full) this.#forgetBody();
    }
    if (upstream !== undefined && !upstream.write(bytes, start, end)) this.#client.pause();
  }

  onRequestEnd(trailers: FieldLines): void {
    this.#upstream?.end(trailers);
    if (this.#state === "tunnel") return;
    this.#body.ended(trailers);
    this.#mirror();
  }

  onClientDrained(): void {
    this.#moved();
    this.#upstream?.resume();
  }

  onClientGone(): void {
    this.#cancelUpstream();
    this.#finish("cancelled", ["cancelled"]);
  }

  onReady(upstream: UpstreamStream): void {
    this.#send(upstream);
  }

  onResponse(head: ClientResponse, body: H1Body): void {
    if (head.status < 200 && head.status !== 101) return this.#client.respond(head, body);
    const { rule, backend } = this.#routed();
    const attempt = this.#attempt;
    assert(attempt !== undefined, "answered by an attempt");
    attempt.answered();
    if (this.#retries({ status: head.status })) return;
    this.#setDeadline();
    this.#status = head.status;
    if (this.#isGrpc(rule.grpc)) this.#grpcStatus = grpcStatusOf(head.fields);
    const response = filterForClient(head, this.#request.head, { rule, backend });
    const sent = this.#session?.mark(response, attempt.endpoint.key, rule.match) ?? response;
    if (body.kind === "tunnel") {
      this.#move("switch");
      this.#client.respond(sent, body);
      this.#client.resume();
    } else {
      this.#move("respond");
      this.#client.respond(sent, body);
    }
  }

  onResponseBody(bytes: Buffer, start: number, end: number): void {
    this.#sentBytes += end - start;
    this.#moved();
    if (!this.#client.write(bytes, start, end)) this.#upstream?.pause();
  }

  onResponseEnd(trailers: FieldLines): void {
    this.#upstream = undefined;
    if (this.#grpcStatus === undefined && this.#isGrpc(this.#forwarded?.rule.grpc === true)) {
      this.#grpcStatus = grpcStatusOf(trailers);
    }
    const result =
      this.#grpcStatus === undefined
        ? resultOfStatus(this.#status)
        : resultOfGrpcStatus(this.#grpcStatus);
    this.#finish(result, []);
    this.#client.end(trailers);
  }

  onUpstreamDrained(): void {
    this.#moved();
    this.#client.resume();
  }

  onUpstreamFailed(why: UpstreamFailure): void {
    this.#upstream = undefined;
    this.#attemptFailed(why);
  }

  onDeadline(nowMs: number): void {
    if (this.#state === "backoff" && nowMs < this.#requestDeadlineMs) return this.#try();
    this.#cancelUpstream();
    if (nowMs < this.#requestDeadlineMs) return this.#attemptFailed("timeout");
    this.#fail("timeout");
  }

  #forward(routed: Forwarded): void {
    this.#forwarded = routed;
    const { rule, group } = routed;
    if (!group.circuit.tryTake("requests")) {
      this.#forwarded = undefined;
      return this.#answer(answerOfFailure("limit", this.#isGrpc(rule.grpc)), "limit");
    }
    const { sessionPersistence, timeouts, retry } = rule;
    if (sessionPersistence !== undefined) {
      const { fields } = this.#request.head;
      this.#session = new RequestSession(fields, sessionPersistence, this.#parts.wallMs());
    }
    if (timeouts.requestMs !== undefined && timeouts.requestMs > 0) {
      this.#requestDeadlineMs = this.#startedMs + timeouts.requestMs;
    }
    const mayRepeat = isIdempotent(routed.head.method);
    this.#freshness = mayRepeat ? "any" : "young";
    // HTTP/2 says which requests were not processed: those may be sent again whatever they are.
    const isSure = group.plan.protocol === "http2";
    this.#keepsBody = mayRepeat || isSure || retry !== undefined || routed.mirrors.length > 0;
    this.#parts.deadlines.add(this);
    group.retries.request(this.#startedMs);
    this.#try();
  }

  /** Picks an endpoint and gets a connection to it. */
  #try(): void {
    this.#move("dial");
    const { reactor, random, pools } = this.#parts;
    const { client, side, service, dialled, port } = this.#door;
    const { group } = this.#routed();
    const asked = { clientAddress: client.address, avoid: this.#failed };
    const endpoint =
      this.#session?.endpointOf(group, this.#failed) ??
      group.endpoints.pick(asked, reactor.nowMs, random);
    if (endpoint === undefined) return this.#fail("no-endpoints");
    this.#attempts++;
    const attempt = new HttpAttempt(this.#parts, endpoint, {
      source: client.source,
      service,
      route: this.#route,
    });
    this.#attempt = attempt;
    this.#setDeadline();
    const from = sourceAddress(client, side, endpoint.endpoint);
    const { connectTimeoutMs } = port.plan.limits;
    const opened = pools.open(
      { group, endpoint, from, client, dialled, connectTimeoutMs },
      this,
      this.#freshness,
    );
    attempt.upstream = opened;
    if (opened.kind === "stream") this.#send(opened);
  }

  #send(upstream: UpstreamStream): void {
    this.#move("send");
    this.#upstream = upstream;
    if (this.#attempt !== undefined) this.#attempt.upstream = upstream;
    const { body, expectContinue } = this.#request;
    upstream.send({ head: this.#routed().head, body, expectContinue });
    let goesOn = true;
    for (const chunk of this.#body.chunks) goesOn = upstream.write(chunk, 0, chunk.length);
    if (this.#body.trailers !== undefined) upstream.end(this.#body.trailers);
    if (!this.#keepsBody || this.#body.full) this.#forgetBody();
    if (goesOn) this.#client.resume();
    else this.#client.pause();
  }

  #attemptFailed(why: AttemptEnd): void {
    if (this.#retries(why)) return;
    if (this.#state === "responding" || this.#state === "tunnel") {
      this.#finish("reset", ["reset"]);
      return this.#client.abort();
    }
    this.#fail(failureOf(why));
  }

  /** @returns true when another attempt will follow, or has begun */
  #retries(end: AttemptEnd): boolean {
    const { reactor, random } = this.#parts;
    const attempt = this.#attempt;
    if (this.#state !== "connecting" && this.#state !== "sent") return false;
    if (!this.#body.whole || attempt === undefined) return false;
    const { rule, group, head } = this.#routed();
    const facts = { method: head.method, attempts: this.#attempts, random: random() };
    const decision = decideRetry(end, rule, facts);
    if (decision === undefined) return false;
    if (decision.atFault) {
      if (!group.retries.tryRetry(reactor.nowMs)) {
        this.#flags = [...this.#flags, "retry-budget"];
        return false;
      }
      this.#failed = [...this.#failed, attempt.endpoint];
    }
    this.#cancelUpstream();
    attempt.retried();
    const result = typeof end === "object" ? resultOfStatus(end.status) : failureOf(end);
    attempt.finished(decision.atFault ? result : "cancelled", Number.NaN, 0, 0);
    this.#attempt = undefined;
    this.#freshness = decision.freshness;
    this.#move("retry");
    if (decision.backoffMs === 0) this.#try();
    else this.deadlineMs = Math.min(reactor.nowMs + decision.backoffMs, this.#requestDeadlineMs);
    return true;
  }

  /** Answers in the endpoint's place. */
  #fail(failure: Failure): void {
    if (this.#state === "responding" || this.#state === "tunnel") {
      this.#finish(failure, [failure]);
      return this.#client.abort();
    }
    this.#answer(
      answerOfFailure(failure, this.#isGrpc(this.#forwarded?.rule.grpc === true)),
      failure,
    );
  }

  #answer(answer: OwnAnswer, failure: Failure | undefined): void {
    const { status, text, fields, grpcStatus } = answer;
    this.#status = status;
    this.#grpcStatus = grpcStatus;
    const hasText = this.#request.head.method !== "HEAD" && text !== "";
    this.#sentBytes = hasText ? text.length : 0;
    const result = failure ?? resultOfStatus(status);
    this.#finish(result, failure === undefined ? [] : [failure]);
    const body = status === 204 || grpcStatus !== undefined ? NO_BODY : ownBody(text);
    this.#client.respond({ status, fields: withoutLength(fields) }, body);
    if (hasText) this.#client.write(Buffer.from(text, "latin1"), 0, text.length);
    this.#client.end(NO_FIELDS);
  }

  #mirror(): void {
    const forwarded = this.#forwarded;
    if (forwarded === undefined || !this.#body.whole) return;
    const { client, side, dialled, port } = this.#door;
    for (const group of forwarded.mirrors) {
      MirroredRequest.send(this.#parts, {
        head: forwarded.head,
        chunks: this.#body.chunks,
        group,
        client,
        side,
        dialled,
        connectTimeoutMs: port.plan.limits.connectTimeoutMs,
      });
    }
  }

  #forgetBody(): void {
    this.#keepsBody = false;
    this.#body.forget();
  }

  #cancelUpstream(): void {
    const upstream = this.#attempt?.upstream;
    this.#upstream = undefined;
    if (this.#attempt !== undefined) this.#attempt.upstream = undefined;
    upstream?.cancel();
  }

  #moved(): void {
    if (this.#state === "responding" || this.#state === "tunnel") this.#setDeadline();
  }

  #setDeadline(): void {
    const now = this.#parts.reactor.nowMs;
    let deadlineMs = now + this.#door.port.plan.limits.idleTimeoutMs;
    if (this.#state !== "tunnel") deadlineMs = Math.min(deadlineMs, this.#requestDeadlineMs);
    const backendMs = this.#forwarded?.rule.timeouts.backendRequestMs ?? 0;
    const isWaiting = this.#state === "connecting" || this.#state === "sent";
    if (isWaiting && this.#status === 0 && backendMs > 0) {
      deadlineMs = Math.min(deadlineMs, now + backendMs);
    }
    this.deadlineMs = deadlineMs;
  }

  #finish(result: Result, flags: readonly Failure[]): void {
    if (this.#state === "over") return;
    const isTunnel = this.#state === "tunnel";
    this.#move("end");
    const { reactor, deadlines, requests } = this.#parts;
    const { client, service } = this.#door;
    const now = reactor.nowMs;
    if (this.#forwarded !== undefined) {
      deadlines.remove(this);
      this.#forwarded.group.circuit.release("requests");
    }
    const durationMs = now - this.#startedMs;
    const latencyMs = isTunnel ? Number.NaN : durationMs;
    const attempt = this.#attempt;
    if (attempt !== undefined) {
      attempt.finished(result, latencyMs, this.#receivedBytes, this.#sentBytes);
    } else {
      const slot = requests.slot(client.source, service, this.#route, "", now);
      requests.started(slot);
      requests.transferred(slot, this.#receivedBytes, this.#sentBytes);
      requests.finished(slot, result, latencyMs);
    }
    reportRequest(this.#parts, this.#door, {
      protocol: this.#client.protocol,
      isTunnel,
      received: this.#request.head,
      forwarded: this.#forwarded?.head,
      route: this.#route,
      endpoint: attempt?.endpoint.key ?? "",
      status: this.#status,
      grpcStatus: this.#grpcStatus,
      flags: [...this.#flags, ...flags],
      attempts: this.#attempts,
      durationMs,
      upstreamMs: attempt?.upstreamMs,
      receivedBytes: this.#receivedBytes,
      sentBytes: this.#sentBytes,
    });
  }

  #isGrpc(byRule: boolean): boolean {
    if (byRule) return true;
    if (this.#client.protocol === "http1") return false;
    const type = fieldValue(this.#request.head.fields, "content-type");
    return type?.startsWith("application/grpc") === true;
  }

  #routed(): Forwarded {
    assert(this.#forwarded !== undefined, "only what is routed gets so far");
    return this.#forwarded;
  }

  #move(event: ExchangeEvent): void {
    const next = nextExchangeState(this.#state, event);
    assert(next !== undefined, `${event} in ${this.#state}`);
    this.#state = next;
  }
}

function failureOf(end: AttemptEnd): Failure {
  if (typeof end === "object") return "reset";
  switch (end) {
    case "connect-timeout":
    case "connect-failed":
      return "connect-failed";
    case "unprocessed":
    case "stale":
    case "reset":
    case "protocol":
      return "reset";
    case "timeout":
    case "limit":
      return end;
    default:
      return end satisfies never;
  }
}

function ownBody(text: string): H1Body {
  return { kind: "length", lengthBytes: text.length };
}

/** Filters that answer state their length as a field. */
function withoutLength(fields: FieldLines): FieldLines {
  const at = fields.indexOf("content-length");
  return at === -1 ? fields : [...fields.slice(0, at), ...fields.slice(at + 2)];
}
