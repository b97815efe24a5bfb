// The client's end of one request, whatever version of HTTP it speaks: what an exchange commands
// there, and what it is told. Upgrades have the form of HTTP/1.1 in all versions: GET with
// `upgrade`, answered by a 101 that a tunnel follows.

import type { H1Body } from "../../lib/http/h1-head.ts";
import type { FieldLines, RequestHead, ResponseHead } from "../../lib/http/message.ts";

/** A request, without its body. */
export interface ClientRequest {
  readonly head: RequestHead;
  /** What follows; a tunnel follows the 101, not the head. */
  readonly body: H1Body;
  /** The client waits for 100 (Continue). */
  readonly expectContinue: boolean;
}

/** A head that goes to a client; a 101 names the protocol. */
export type ClientResponse = ResponseHead & { readonly upgrade?: string };

/** Commands of one exchange. After `end` or `abort` it gives no more, and hears nothing. */
export interface ClientStream {
  readonly protocol: "http1" | "http2";
  /** Interim heads (1xx), then a final one, once. */
  respond(head: ClientResponse, body: H1Body): void;
  /** @returns false when it waits: write no more until `onClientDrained` */
  write(bytes: Buffer, start: number, end: number): boolean;
  end(trailers: FieldLines): void;
  /** Breaks off: the client must not take what it has for a whole response. */
  abort(): void;
  /** Takes no more of the request's body for now. */
  pause(): void;
  resume(): void;
}

/** What an exchange is told. */
export interface ClientStreamOwner {
  /** Also the bytes of a tunnel. The view is good during the call. */
  onRequestBody(bytes: Buffer, start: number, end: number): void;
  /** The request is complete; in a tunnel, the client sends no more. */
  onRequestEnd(trailers: FieldLines): void;
  onClientDrained(): void;
  /** Nobody waits for the response any more, or the rest of the request cannot be read. */
  onClientGone(why: "cancelled" | "bad-request"): void;
}
