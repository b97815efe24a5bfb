// The authority that a state describes, ready to sign.

import type { Clock } from "../../lib/clock/clock.ts";
import { CertificateAuthority } from "./authority.ts";
import { asSupplied, readMaterial } from "./root-supplied.ts";
import type { AuthorityState } from "./rotation-state.ts";

export interface ActiveAuthority {
  /** Of the state. */
  readonly version: number;
  readonly authority: CertificateAuthority;
  /**
   * PEM, those of the active signer last: clients of Istio's API take the last certificate of an
   * answer for the root.
   */
  readonly roots: readonly string[];
  /** The first end among the signer's certificates. */
  readonly notAfterMs: number;
}

export type MadeAuthority =
  | { readonly kind: "ok"; readonly active: ActiveAuthority }
  | { readonly kind: "invalid"; readonly problems: readonly string[] };

export interface AuthorityChance {
  readonly clock: Clock;
  readonly randomBytes: (lengthBytes: number) => Buffer;
}

/**
 * Makes the authority. Never throws.
 * @param leafLifetimeMs the setting; the state has the last word, since peers count on it
 */
export function makeActiveAuthority(
  state: AuthorityState,
  leafLifetimeMs: number,
  { clock, randomBytes }: AuthorityChance,
): MadeAuthority {
  const { version, trustDomain, active } = state;
  const read = readMaterial(asSupplied(active), { trustDomain, nowMs: clock.wallMs() });
  if (read.kind === "invalid") return read;
  const all = state.roots.map(({ pem }) => pem);
  // Without those that have expired.
  const isOwn = (pem: string): boolean => read.material.roots.includes(pem);
  const roots = [...all.filter((pem) => !isOwn(pem)), ...all.filter(isOwn)];
  const authority = new CertificateAuthority({
    trustDomain,
    signer: read.signer,
    roots,
    leafLifetimeMs: Math.min(leafLifetimeMs, state.leafLifetimeMs),
    clock,
    randomBytes,
  });
  return { kind: "ok", active: { version, authority, roots, notAfterMs: read.notAfterMs } };
}
