// What an installation may choose about its CA, and what it gets without choosing.

import { MESH_NAMESPACE } from "../model/enrolment.ts";
import { LEAF_LIFETIME } from "./authority.ts";
import { DEFAULT_ROTATION_TIMINGS } from "./rotation.ts";

export interface CaSettings {
  readonly trustDomain: string;
  /** Of the CA's own objects. */
  readonly namespace: string;
  /** Where the signing API listens; without a host on every address. */
  readonly listen: { readonly host?: string; readonly port: number };
  /** Who may ask for certificates, as `namespace/name`: node agents. */
  readonly callers: readonly string[];
  /** What their tokens must have been issued for: one of these. */
  readonly audiences: readonly string[];
  /** Within LEAF_LIFETIME. */
  readonly leafLifetimeMs: number;
  /** One more than before asks for a new root of our own. */
  readonly rootGeneration: number;
  /** How long agents take at most to learn of a new root. */
  readonly spreadMs: number;
  /** Holds a user's CA as files. Missing: the Secret does. */
  readonly suppliedDirectory?: string;
  readonly hostNetworkPods: "excluded" | "included";
}

export const DEFAULT_CA_SETTINGS: CaSettings = {
  trustDomain: "cluster.local",
  namespace: MESH_NAMESPACE,
  listen: { port: 15_012 },
  callers: ["kube-system/innermesh-node"],
  audiences: ["innermesh-ca"],
  leafLifetimeMs: LEAF_LIFETIME.defaultMs,
  rootGeneration: 0,
  spreadMs: DEFAULT_ROTATION_TIMINGS.spreadMs,
  hostNetworkPods: "excluded",
};

/** Names in the CA's namespace. */
export const CA_OBJECTS = {
  /** Secret: the state, with the key. Ours alone. */
  state: "innermesh-ca",
  /** Secret of a user, as cert-manager fills one: tls.crt, tls.key, ca.crt. May be missing. */
  supplied: "innermesh-ca-user",
  /** ConfigMap that nodes watch; also the name of the ClusterTrustBundle. */
  bundle: "innermesh-trust-bundle",
  /** ConfigMap of an administrator: node → since, or since/until. May be missing. */
  bans: "innermesh-bans",
  service: "innermesh-ca",
} as const;

/** What the serving certificate is for. */
export function caDnsNames(namespace: string): readonly string[] {
  const name = `${CA_OBJECTS.service}.${namespace}.svc`;
  return [name, `${name}.cluster.local`];
}
