// The numbers of tunnels. Peers have proven who they are, and a session serves one pod for one
// other: windows and bounds are wider than on doors for everybody, and whoever exhausts them
// exhausts their own.

import { DEFAULT_H2_LIMITS, type H2Limits } from "../../lib/http/h2-limits.ts";

/** ALPN of a tunnel. */
export const TUNNEL_PROTOCOL = "h2";

/**
 * Windows as ambient's: 4 MiB a stream hide 10 ms of round trip at 400 MB/s, and a slow reader
 * costs that much memory. Cancelling is what busy clients do: Go's and Rust's servers bear less
 * than this, ours as much, and a client that has used it up takes another session.
 */
export const TUNNEL_H2_LIMITS: H2Limits = {
  ...DEFAULT_H2_LIMITS,
  streams: 200,
  streamWindowBytes: 4 << 20,
  connectionWindowBytes: 16 << 20,
  frameBytes: 64 << 10,
  headerListBytes: 16 << 10,
  extendedConnect: "refused",
  floods: {
    ...DEFAULT_H2_LIMITS.floods,
    "peer-resets": { burst: 10_000, perSecond: 1_000 },
    "idle-frames": { burst: 10_000, perSecond: 1_000 },
    "window-updates": { burst: 10_000, perSecond: 10_000 },
    "empty-data": { burst: 1_000, perSecond: 100 },
  },
  resetsSent: { burst: 1_000, perSecond: 33 },
};

/** From the wish to the answer: waiting for a certificate, connecting, TLS, and CONNECT. */
export const CONNECT_LIMIT_MS = 10_000;
/** How often time-outs are looked at. Silence is counted in looks: a frozen process is not late. */
export const SWEEP_PERIOD_MS = 1_000;
export const PING_AFTER_SWEEPS = 10;
/** Together with the time that TCP takes to notice, under 30 s. */
export const DEAD_AFTER_SWEEPS = 20;
/** A stream whose owner closed it and whose peer does not end it. As TCP's FIN_WAIT_2. */
export const ABANDONED_SWEEPS = 60;
/** After the last frame, until the peer has closed. */
export const LINGER_SWEEPS = 2;
/** Of a session without a stream. */
export const IDLE_SWEEPS = 90;
/**
 * For a peer that does not read. Streams wait long before; what is left are answers, which a peer
 * can have without end.
 */
export const MOST_QUEUED_BYTES = 2 << 20;
/** Before its certificates expire a session takes no more streams. */
export const EXPIRY_MARGIN_MS = 60_000;

export const SESSIONS_PER_PAIR = 32;
export const WAITING_PER_PAIR = 1_024;
export const MOST_PAIRS = 16_384;
/** One pod gets no more of what is free. */
export const PAIRS_SHARE = 1 / 4;
/** Accepted, and not yet proven who they are. */
export const MOST_HANDSHAKES = 4_096;
/** One address gets no more of what is free, so that there is always some for others. */
export const HANDSHAKES_SHARE = 1 / 8;
/**
 * Of one address, handshakes that prove nothing: one costs us 0.3 ms, whoever asks a third of that.
 * The burst is what may be under way; then an address gets 0.6 % of a worker.
 */
export const FAILED_HANDSHAKES = { burst: 512, perSecond: 20 } as const;
/** From one address, proven or not: several workers of its node may have sessions for one pod. */
export const MOST_PER_CLIENT = 512;

/** That a pod has open to other pods without a Service, wherever they are. */
export const MOST_DIRECT_PER_CLIENT = 16_384;

/** Nodes hear of a change of the cluster within so long of each other, in the ordinary. */
export const NEWS_WITHIN_MS = 3_000;
export const ASK_AGAIN_MS = 100;
