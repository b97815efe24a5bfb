// What a parsed HTTP/1.1 head says, the framing of its message included. Values only.

import type { RequestHead, ResponseHead } from "./message.ts";

export type H1Version = "1.0" | "1.1";

/** What follows a head. The relay frames anew by it: framing fields never stand in `fields`. */
export type H1Body =
  | {
      readonly kind: "none";
      /** Content-Length of an answer to HEAD, or of a 304: the body that is not sent. */
      readonly statedBytes?: number;
    }
  | { readonly kind: "length"; readonly lengthBytes: number }
  | { readonly kind: "chunked" }
  /** Responses only. */
  | { readonly kind: "until-close" }
  /** Responses only: bytes of another protocol, both ways. */
  | { readonly kind: "tunnel" };

/**
 * A request as it is authorised and forwarded. Its target is in origin-form whatever was sent.
 * `upgrade` is there on a GET without a body only, names one protocol and is never h2c.
 */
export interface H1RequestHead extends RequestHead {
  readonly kind: "request";
  readonly version: H1Version;
  readonly keepAlive: boolean;
  readonly body: H1Body;
  /** The client waits for 100 (Continue) before it sends the body. */
  readonly expectContinue: boolean;
}

/** An interim (1xx) head is followed by another head, without an end in between. */
export interface H1ResponseHead extends ResponseHead {
  readonly kind: "response";
  readonly version: H1Version;
  readonly keepAlive: boolean;
  readonly body: H1Body;
  /** The protocol that a 101 switches to. */
  readonly upgrade?: string;
}

/** Why a peer's bytes are refused. The status is what to answer; of a backend's bytes it is 502. */
export interface H1Problem {
  readonly kind: "problem";
  readonly status: 400 | 413 | 414 | 417 | 431 | 501 | 502 | 505;
  /** Never holds bytes of the peer. */
  readonly why: string;
}

export const NO_BODY: H1Body = { kind: "none" };
export const CHUNKED: H1Body = { kind: "chunked" };
export const UNTIL_CLOSE: H1Body = { kind: "until-close" };
export const TUNNEL: H1Body = { kind: "tunnel" };

export function h1Problem(status: H1Problem["status"], why: string): H1Problem {
  return { kind: "problem", status, why };
}

/** A violation of the grammar. */
export function malformed(why: string): H1Problem {
  return h1Problem(400, why);
}
