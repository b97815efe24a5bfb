// What of an HTTP/2 peer is borne. Every frame that costs us more than it costs the peer draws on a
// bucket; work that a peer lets us finish fills it again, so busy honest peers never run dry.

import { MAX_FRAME_BYTES } from "./h2-frame.ts";

/** Tokens that a bucket holds at first and at most, and how many come back by themselves. */
export interface FloodLimit {
  readonly burst: number;
  readonly perSecond: number;
}

/**
 * - `peer-resets`: streams that the peer resets (rapid reset).
 * - `own-resets`: streams that the peer makes us reset (MadeYouReset), or heads we must refuse.
 * - `refused-streams`: requests beyond the limit of streams.
 * - `settings`, `pings`: frames that want an answer; DATA and heads earn pings, which gRPC sends
 *   with them to measure the round trip.
 * - `window-updates`: what we send earns them: two a frame that the window did not cut, and one for
 *   each 512 bytes, so a peer that doles out a window byte by byte runs dry.
 * - `empty-data`: DATA frames without data that do not end their stream.
 * - `idle-frames`: PRIORITY, unknown frames, frames for streams that are over.
 * - `interim-responses`: 1xx heads.
 *
 * A stream that ends well earns two of the first and the last three.
 */
export type FloodKind =
  | "peer-resets"
  | "own-resets"
  | "refused-streams"
  | "settings"
  | "pings"
  | "window-updates"
  | "empty-data"
  | "idle-frames"
  | "interim-responses";

export interface H2Limits {
  /** Streams that the peer may have open, and in the server role those still worked for. */
  readonly streams: number;
  /** At least 65,535, as is the next: what a peer may send before it has read our settings. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** The longest frame to take, and to send where the peer takes it; at least 16,384. */
  readonly frameBytes: number;
  /** A head or trailer section, counted as RFC 9113 §6.5.2 does; also the bound of its block. */
  readonly headerListBytes: number;
  /** CONTINUATION frames of one block. */
  readonly continuations: number;
  /** Whether a server takes CONNECT with `:protocol` (RFC 8441). */
  readonly extendedConnect: "allowed" | "refused";
  readonly floods: Readonly<Record<FloodKind, FloodLimit>>;
  /**
   * Resets that a client sends before it opens nothing more on the connection for a while: servers
   * guard themselves, too, and end a connection with all the streams that others have on it. Netty
   * bears 200 in 30 s; streams that are open may all be reset yet. (2025)
   */
  readonly resetsSent: FloodLimit;
}

export const DEFAULT_H2_LIMITS: H2Limits = {
  streams: 100,
  streamWindowBytes: 64 * 1024,
  connectionWindowBytes: 1024 * 1024,
  frameBytes: MAX_FRAME_BYTES,
  headerListBytes: 64 * 1024,
  continuations: 16,
  extendedConnect: "allowed",
  floods: {
    "peer-resets": { burst: 1000, perSecond: 100 },
    "own-resets": { burst: 100, perSecond: 10 },
    "refused-streams": { burst: 1000, perSecond: 100 },
    settings: { burst: 50, perSecond: 5 },
    pings: { burst: 200, perSecond: 50 },
    "window-updates": { burst: 1000, perSecond: 1000 },
    "empty-data": { burst: 100, perSecond: 10 },
    "idle-frames": { burst: 1000, perSecond: 100 },
    "interim-responses": { burst: 100, perSecond: 100 },
  },
  resetsSent: { burst: 100, perSecond: 3 },
};
