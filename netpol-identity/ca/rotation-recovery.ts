// The authority's state at a start: as it was kept, or put together again when its Secret was lost
// or restored from a backup. Peers hold leaves below the roots that were published, so those are
// appended to and never replaced (fault F42).

import { LEAF_LIFETIME } from "./authority.ts";
import type { AuthorityRoot, AuthorityState, StateMaterial } from "./rotation-state.ts";

/** What agents were told last. */
export interface PublishedBundle {
  /** Of the state that it was published from. */
  readonly version: number;
  /** PEM, oldest first. */
  readonly roots: readonly string[];
}

export interface Recovery {
  readonly trustDomain: string;
  readonly stored: AuthorityState | undefined;
  /** Of this trust domain. */
  readonly published: PublishedBundle | undefined;
  /** What signs when nothing is stored. */
  readonly make: () => StateMaterial;
  readonly leafLifetimeMs: number;
  readonly nowMs: number;
}

/**
 * The stored state if it is as new as what was published; else one that is newer than both, whose
 * bundle has every root that was published and those of its signer. To be written before it is
 * used, if it is not the stored one.
 */
export function recoverAuthority(recovery: Recovery): AuthorityState {
  const { trustDomain, published, make, leafLifetimeMs, nowMs } = recovery;
  const stored = recovery.stored?.trustDomain === trustDomain ? recovery.stored : undefined;
  const publishedVersion = published?.version ?? 0;
  if (stored !== undefined && stored.version >= publishedVersion) return stored;
  const active = stored?.active ?? make();
  return {
    version: publishedVersion + 1,
    trustDomain,
    active,
    // A restored state does not know for how long its signer's leaves live by now.
    leafLifetimeMs: stored === undefined ? leafLifetimeMs : LEAF_LIFETIME.mostMs,
    roots: joinRoots(published?.roots ?? [], active.roots, nowMs),
  };
}

function joinRoots(
  published: readonly string[],
  needed: readonly string[],
  nowMs: number,
): readonly AuthorityRoot[] {
  // Whoever signed below them signs no more, but for how long its leaves live is not known.
  const retiredMs = nowMs + LEAF_LIFETIME.mostMs;
  return [
    ...published.map((pem) => ({
      pem,
      addedMs: nowMs,
      ...(needed.includes(pem) ? {} : { retiredMs }),
    })),
    ...needed.filter((pem) => !published.includes(pem)).map((pem) => ({ pem, addedMs: nowMs })),
  ];
}
