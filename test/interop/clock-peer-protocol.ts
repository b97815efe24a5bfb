// What a test and `clock-peer.ts` say to each other, a line of JSON each.

/** To start with, the program's one word. */
export interface ClockPeerOptions {
  readonly identity: string;
  readonly address: string;
  readonly peer: { readonly identity: string; readonly address: string };
  /** PEM of the root of cluster.local. */
  readonly root: string;
}

export type ToClockPeer =
  | { readonly kind: "signed"; readonly id: number; readonly chain: readonly string[] }
  /** Asks for an exchange with an echo of the peer. */
  | { readonly kind: "exchange"; readonly id: number; readonly target: string };

export type FromClockPeer =
  | { readonly kind: "sign"; readonly id: number; readonly csr: string }
  | { readonly kind: "exchanged"; readonly id: number; readonly answer: string }
  /** Of a certificate. */
  | { readonly kind: "issued" | "failed" | "expired" }
  /** Again and again. */
  | { readonly kind: "beat"; readonly wallMs: number; readonly handshakes: readonly string[] };
