// What proxy workers need to carry identities and to check those of others: values that travel as
// JSON from the control process. The private keys among them are never logged.

/** The port of HBONE on every enrolled pod. */
export const TUNNEL_PORT = 15_008;

/** `spiffe://cluster.local/ns/default/sa/web` */
export type SpiffeUri = string;

/** Plaintext is taken too, or nothing but the tunnel. */
export type IdentityMode = "permissive" | "strict";

/** A pod that was enrolled a moment ago is still taken by tunnel, and begins none itself. */
export type WorkloadMode = IdentityMode | "leaving";

/** What proves one identity. */
export interface TunnelCredential {
  /** PEM, the leaf first, then intermediates. */
  readonly chain: string;
  /** PEM, PKCS #8. */
  readonly key: string;
  /** A connection that it opened is not used for longer. */
  readonly notAfterMs: number;
}

/** An enrolled pod of this node, or one that was until now. */
export interface TunnelWorkload {
  readonly identity: SpiffeUri;
  readonly namespace: string;
  readonly pod: string;
  /** What an address meant ends with its pod. */
  readonly uid: string;
  readonly mode: WorkloadMode;
}

/** An enrolled pod elsewhere, whose node takes tunnels. */
export interface TunnelPeer {
  readonly identity: SpiffeUri;
  readonly uid: string;
}

/** Certificates that were issued to a node until then are worth nothing. */
export interface NodeBan {
  readonly node: string;
  readonly untilMs: number;
}

/** One message to a worker: what is new or differs, and what is gone (null). Applied as one. */
export interface TunnelPlanDelta {
  /** Roots by trust domain, PEM. Never merged. */
  readonly bundles: readonly (readonly [string, readonly string[] | null])[];
  /** Of every identity that has a pod here. */
  readonly credentials: readonly (readonly [SpiffeUri, TunnelCredential | null])[];
  /** By address. */
  readonly workloads: readonly (readonly [string, TunnelWorkload | null])[];
  /** By address. */
  readonly peers: readonly (readonly [string, TunnelPeer | null])[];
  /** What processes of the node itself are; null: nobody. Missing when it is as before. */
  readonly host?: TunnelWorkload | null;
  /** All of them; missing when they are as before. */
  readonly bans?: readonly NodeBan[];
}
