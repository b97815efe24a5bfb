// A connection as its users see it, whatever carries it: plain TCP, TLS, or a stream in a tunnel.

import type { SocketAddress } from "./socket-address.ts";

/** What a connection tells its owner. After `onClosed` it tells nothing more. */
export interface StreamOwner {
  /** A connection that was dialled stands. */
  onOpen?(): void;
  /** @param bytes valid from `start` to `end` during the call only */
  onData(bytes: Buffer, start: number, end: number): void;
  /** The peer will send no more; this side may go on. Not told where this side ended before. */
  onEnd(): void;
  /** Everything that had to wait is with the kernel. */
  onDrained(): void;
  /** It is gone. @param code errno name; undefined when both sides ended in order */
  onClosed(code: string | undefined): void;
}

/** Who is at both ends of a connection, and what proves it. */
export interface StreamProof {
  /** A tunnel, by certificates; or this node alone, which knows both pods by their interfaces. */
  readonly carrier: "tunnel" | "node";
  /** SPIFFE IDs. */
  readonly source: string;
  readonly endpoint: string;
}

/** One connection. Nothing of it is called from within a call into it, but `onData` by none. */
export interface ByteStream {
  /** Empty for a connection that was dialled: nobody asks. */
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  /** Hears all from the next event on. */
  owner: StreamOwner;
  /** Of a connection that was dialled; undefined where nothing proves anything. */
  readonly proof?: StreamProof | undefined;
  readonly isOpen: boolean;
  /** Bytes that were written and have not left yet. */
  readonly queuedBytes: number;
  /**
   * Sends, in order after all that waits.
   * @param bytes copied where they cannot be sent at once
   * @returns false when some had to be kept: write less until `onDrained`
   */
  write(bytes: Buffer, start: number, end: number): boolean;
  /**
   * Sends at the end of this round of events, together with what else is pushed until then.
   * @param bytes owned by the stream from here on
   */
  push(bytes: Buffer): void;
  /** Stops reading, so that the peer has to wait. */
  pause(): void;
  resume(): void;
  /** To be called when nothing moved for some seconds: a slow reader is told from a dead one. */
  awaitReader(): void;
  /** Ends this direction after what waits. The connection is closed once the peer ended, too. */
  end(): void;
  /** Closes at once and tells nobody. */
  close(): void;
  /** Closes so that the peer does not take what it has for all there is. Tells nobody. */
  reset(): void;
}
