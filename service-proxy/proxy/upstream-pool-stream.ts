// One request at one endpoint, whatever version of HTTP is spoken there: what an exchange commands,
// and what it is told. Upgrades have the form of HTTP/1.1 (see http-client-stream.ts).

import type { H1Body } from "../../lib/http/h1-head.ts";
import type { FieldLines } from "../../lib/http/message.ts";
import type { StreamProof } from "../../lib/reactor/byte-stream.ts";
import type { Reactor } from "../../lib/reactor/reactor.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import type { Client } from "./client.ts";
import type { ClientRequest, ClientResponse } from "./http-client-stream.ts";
import type { EndpointState } from "./picker-endpoint.ts";
import type { ServedGroup } from "./proxy-tables.ts";

/** Why a request came to nothing. */
export type UpstreamFailure =
  | "connect-failed"
  | "connect-timeout"
  /** Policies forbid the connection. */
  | "denied"
  /** A limit of connections. */
  | "limit"
  /** The endpoint said that it has not processed the request and never will. */
  | "unprocessed"
  /** A connection that had served before closed without a byte of an answer. */
  | "stale"
  /** It broke off. */
  | "reset"
  /** It answered something that is no HTTP. */
  | "protocol";

/** Hears of one request. After `onResponseEnd` or `onUpstreamFailed` it hears nothing. */
export interface UpstreamOwner {
  /** Ends a wait: the request may be sent. */
  onReady(stream: UpstreamStream): void;
  /** Interim heads (1xx) come before the final one. A tunnel follows a 101. */
  onResponse(head: ClientResponse, body: H1Body): void;
  /** The view is good during the call. */
  onResponseBody(bytes: Buffer, start: number, end: number): void;
  /** In a tunnel: the endpoint sends no more. */
  onResponseEnd(trailers: FieldLines): void;
  onUpstreamDrained(): void;
  onUpstreamFailed(why: UpstreamFailure): void;
}

/** Until there is a connection; `onReady` or `onUpstreamFailed` follows, never at once. */
export interface UpstreamWait {
  readonly kind: "wait";
  cancel(): void;
}

/** An idle connection is closed then: below the 60 s after which servers commonly close theirs. */
export const UPSTREAM_IDLE_MS = 50_000;

/**
 * The answer where a limit is reached: the owner is told soon, unless it cancels.
 * @param before called first, whatever the owner does
 */
export function refusedWait(
  reactor: Pick<Reactor, "later">,
  owner: UpstreamOwner,
  before: () => void,
): UpstreamWait {
  let wanted = true;
  reactor.later(() => {
    before();
    if (wanted) owner.onUpstreamFailed("limit");
  });
  return { kind: "wait", cancel: () => (wanted = false) };
}

export interface UpstreamStream {
  readonly kind: "stream";
  /** Who is at both ends, where that is proven. */
  readonly proof: StreamProof | undefined;
  send(request: ClientRequest): void;
  /** @returns false when it waits: write no more until `onUpstreamDrained` */
  write(bytes: Buffer, start: number, end: number): boolean;
  end(trailers: FieldLines): void;
  /** The response is wanted no more; nothing more is told. */
  cancel(): void;
  pause(): void;
  resume(): void;
}

/** Where to, and as whom. */
export interface UpstreamTarget {
  readonly group: ServedGroup;
  readonly endpoint: EndpointState;
  /** The address to connect from; the node's own when undefined. */
  readonly from: string | undefined;
  /** Whom the PROXY protocol tells of, where it is spoken, and the address that was dialled. */
  readonly client: Pick<Client, "address" | "port" | "kind">;
  readonly dialled: SocketAddress;
  readonly connectTimeoutMs: number;
}
