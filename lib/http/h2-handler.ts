// What an HTTP/2 connection tells its owner. All of it happens inside a command or `receive`, and
// any command may be given from inside.

import type { H2Problem } from "./h2-frame.ts";
import type { H2RequestHead, H2ResponseHead } from "./h2-head.ts";
import type { FieldLines } from "./message.ts";

/** What both roles are told. A stream is over when both sides ended it, or by reset or refusal. */
export interface H2Handler {
  /**
   * A piece of a body; the view is good during the call. Every byte told here is to be given back
   * by `consumed` once, also when its stream is over by then.
   */
  onData(streamId: number, bytes: Buffer, start: number, end: number, endStream: boolean): void;
  /** Ends the message. */
  onTrailers(streamId: number, fields: FieldLines): void;
  /**
   * The stream is over, by the peer's reset or because the peer broke a rule. Its message is not
   * whole unless its end was told. In the server role it counts as a stream until `release`.
   */
  onReset(streamId: number, errorCode: number): void;
  /** After `data` took less than all: it may take more now. */
  onWindow(streamId: number): void;
  /** The peer takes or opens no more streams. */
  onGoAway(lastStreamId: number, errorCode: number): void;
  /** Answers `ping`. */
  onPong(): void;
  /**
   * The connection is done and all bytes are out: close the transport. Without a problem it was
   * drained; with one, streams that were open have ended without being told one by one.
   */
  onClosed(problem: H2Problem | undefined): void;
}

export interface H2ServerHandler extends H2Handler {
  onRequest(streamId: number, head: H2RequestHead, endStream: boolean): void;
}

export interface H2ClientHandler extends H2Handler {
  /** Interim heads (1xx) come before the final one. */
  onResponse(streamId: number, head: H2ResponseHead, endStream: boolean): void;
  /** The peer has not processed the request and never will: it is safe to send it elsewhere. */
  onRefused(streamId: number): void;
}

/** Which side of the connection we are, and who is told. */
export type H2Role =
  | { readonly kind: "server"; readonly handler: H2ServerHandler }
  | { readonly kind: "client"; readonly handler: H2ClientHandler };
