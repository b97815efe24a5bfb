// One request of a client from its head to the end of its response: routed, forwarded or answered
// here, filtered, counted and told of. Bytes pass through it between a client stream and a
// forwarded request; it keeps none.

import type { H1Body } from "../../lib/http/h1-head.ts";
import { type FieldLines, fieldValue } from "../../lib/http/message.ts";
import { type Failure, type Result, resultOfGrpcStatus, resultOfStatus } from "../model/edge.ts";
import type { RouteRule } from "../model/route-table.ts";
import type { AllowedRequest } from "./guarded-http-requests.ts";
import { countUnsent } from "./http-attempt.ts";
import type {
  ClientRequest,
  ClientResponse,
  ClientStream,
  ClientStreamOwner,
} from "./http-client-stream.ts";
import {
  answerOfFailure,
  grpcStatusOf,
  type OwnAnswer,
  ownBody,
  plainAnswer,
  withoutLength,
} from "./http-failure.ts";
import { ForwardedRequest, type ForwardingOwner } from "./http-forwarding.ts";
import type { HttpParts } from "./http-parts.ts";
import { reportRequest } from "./http-report.ts";
import { filterForClient } from "./http-response.ts";
import { type Forwarded, type HttpDoor, routeRequest } from "./http-routing.ts";
import { addVia } from "./route-via.ts";

const NO_FIELDS: FieldLines = [];

export class HttpExchange implements ClientStreamOwner, ForwardingOwner, AllowedRequest {
  readonly #parts: HttpParts;
  readonly #door: HttpDoor;
  readonly #client: ClientStream;
  readonly #request: ClientRequest;
  readonly #startedMs: number;
  #rule: RouteRule | undefined;
  #routed: Forwarded | undefined;
  #forwarding: ForwardedRequest | undefined;
  /** The policy's rule that does, where requests are judged. */
  #deniedBy: string | undefined;
  /** Of the final response; 0 before it. */
  #status = 0;
  #grpcStatus: number | undefined;
  #receivedBytes = 0;
  #sentBytes = 0;
  #over = false;

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
    const routed =
      this.#door.guard?.route(head, this.#client.protocol, this) ??
      routeRequest(head, this.#door, this.#parts);
    this.#rule = routed.rule;
    switch (routed.kind) {
      case "failure":
        this.#deniedBy = routed.deniedBy;
        return this.#fail(routed.failure);
      case "answer": {
        const { status, fields } = routed.head;
        return this.#answer({ status, fields: withoutLength(fields), text: "" }, undefined);
      }
      case "forward":
        return this.#forward(this.#parts.via ? this.#viaThis(routed) : routed);
      default:
        return routed satisfies never;
    }
  }

  onRequestBody(bytes: Buffer, start: number, end: number): void {
    this.#receivedBytes += end - start;
    this.#forwarding?.write(bytes, start, end);
  }

  onRequestEnd(trailers: FieldLines): void {
    this.#forwarding?.end(trailers);
  }

  onClientDrained(): void {
    this.#forwarding?.resume();
  }

  onClientGone(why: "cancelled" | "bad-request"): void {
    this.#finish(why, why);
  }

  onInterim(head: ClientResponse, body: H1Body): void {
    this.#client.respond(this.#fromEndpoint(head), body);
  }

  onAnswer(received: ClientResponse, body: H1Body, endpoint: string): void {
    const routed = this.#routed;
    if (routed === undefined) return;
    const head = this.#fromEndpoint(received);
    this.#status = head.status;
    if (this.#isGrpc()) this.#grpcStatus = grpcStatusOf(head.fields);
    const filtered = filterForClient(head, this.#request.head, routed);
    const { session, rule } = routed;
    this.#client.respond(session?.mark(filtered, endpoint, rule.match) ?? filtered, body);
    if (body.kind === "tunnel") this.#client.resume();
  }

  onAnswerBody(bytes: Buffer, start: number, end: number): boolean {
    this.#sentBytes += end - start;
    return this.#client.write(bytes, start, end);
  }

  onForwardingEnd(trailers: FieldLines): void {
    if (this.#isGrpc()) this.#grpcStatus ??= grpcStatusOf(trailers);
    const result =
      this.#grpcStatus === undefined
        ? resultOfStatus(this.#status)
        : resultOfGrpcStatus(this.#grpcStatus);
    this.#finish(result, undefined);
    this.#client.end(trailers);
  }

  onForwardingFailed(why: Failure): void {
    if (this.#status === 0) return this.#fail(why);
    this.#finish(why, why);
    this.#client.abort();
  }

  onDenied(rule: string): void {
    this.#deniedBy = rule;
    this.onForwardingFailed("denied");
  }

  onAppetite(isHungry: boolean): void {
    if (isHungry) this.#client.resume();
    else this.#client.pause();
  }

  #forward(routed: Forwarded): void {
    if (!routed.group.circuit.tryTake("requests")) return this.#fail("limit");
    this.#routed = routed;
    const request = this.#request;
    const forwarding = new ForwardedRequest(this.#parts, this.#door, { routed, request }, this);
    this.#forwarding = forwarding;
    forwarding.start();
  }

  #viaThis(routed: Forwarded): Forwarded {
    return { ...routed, head: addVia(routed.head, this.#client.protocol) };
  }

  #fromEndpoint(head: ClientResponse): ClientResponse {
    if (!this.#parts.via || this.#routed === undefined) return head;
    return addVia(head, this.#routed.group.plan.protocol);
  }

  #fail(failure: Failure): void {
    this.#answer(answerOfFailure(failure, this.#isGrpc()), failure);
  }

  /** Answers in the endpoint's place. */
  #answer(answer: OwnAnswer, failure: Failure | undefined): void {
    const { status, text, fields, grpcStatus } = answer;
    this.#status = status;
    this.#grpcStatus = grpcStatus;
    const hasText = this.#request.head.method !== "HEAD" && text !== "";
    this.#sentBytes = hasText ? text.length : 0;
    this.#finish(failure ?? resultOfStatus(status), failure);
    this.#client.respond({ status, fields }, ownBody(answer));
    if (hasText) this.#client.write(Buffer.from(text, "latin1"), 0, text.length);
    this.#client.end(NO_FIELDS);
  }

  #finish(result: Result, failure: Failure | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#door.guard?.over(this);
    const forwarding = this.#forwarding;
    const isTunnel = forwarding?.isTunnel === true;
    const durationMs = this.#parts.reactor.nowMs - this.#startedMs;
    const [receivedBytes, sentBytes] = [this.#receivedBytes, this.#sentBytes];
    const route = this.#rule?.route ?? "";
    const amounts = { latencyMs: isTunnel ? Number.NaN : durationMs, receivedBytes, sentBytes };
    if (forwarding?.finish(result, amounts) !== true) {
      const { client, service } = this.#door;
      countUnsent(this.#parts, { source: client.source, service, route }, result, amounts);
    }
    reportRequest(this.#parts, this.#door, {
      protocol: this.#client.protocol,
      isTunnel,
      received: this.#request.head,
      forwarded: this.#routed?.head,
      route,
      endpoint: forwarding?.endpoint ?? this.#door.guard?.pod ?? "",
      status: this.#status,
      grpcStatus: this.#grpcStatus,
      failure,
      deniedBy: this.#deniedBy ?? forwarding?.deniedBy,
      budgetExhausted: forwarding?.budgetExhausted === true,
      attempts: forwarding?.attempts ?? 0,
      durationMs,
      upstreamMs: forwarding?.upstreamMs,
      proof: this.#door.guard?.proof ?? forwarding?.proof,
      receivedBytes,
      sentBytes,
    });
  }

  #isGrpc(): boolean {
    if (this.#rule?.grpc === true) return true;
    if (this.#client.protocol === "http1") return false;
    const type = fieldValue(this.#request.head.fields, "content-type");
    return type?.startsWith("application/grpc") === true;
  }
}
