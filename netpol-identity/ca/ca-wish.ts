// What should sign, by what a user supplied and what was asked for: theirs if it is there and
// sound, else a root of our own. Nothing unsound and nothing that merely vanished takes over. Pure.

import type { AuthorityMaterial } from "./root-material.ts";
import { readMaterial, type SuppliedMaterial } from "./root-supplied.ts";
import type { WantedSigner } from "./rotation.ts";
import type { StateMaterial } from "./rotation-state.ts";

export type CaWish =
  | {
      readonly kind: "wanted";
      readonly signer: WantedSigner;
      /** What of it was left out. */
      readonly warnings: readonly string[];
    }
  /** What signs now stays, and where nothing does, nothing will. */
  | { readonly kind: "unclear"; readonly why: string };

export interface CaFacts {
  readonly trustDomain: string;
  /** Undefined: the user has no Secret there. */
  readonly supplied: SuppliedMaterial | undefined;
  /** What signs now. */
  readonly active: StateMaterial | undefined;
  readonly rootGeneration: number;
  readonly nowMs: number;
  /** Makes a root of our own. */
  readonly make: () => AuthorityMaterial;
}

/** Decides what should sign. Never throws. */
export function decideSigner(facts: CaFacts): CaWish {
  const { trustDomain, supplied, active, rootGeneration, nowMs, make } = facts;
  if (supplied !== undefined) {
    const read = readMaterial(supplied, { trustDomain, nowMs });
    if (read.kind === "invalid") {
      return {
        kind: "unclear",
        why: `the supplied CA cannot be used: ${read.problems.join("; ")}`,
      };
    }
    const { material, warnings } = read;
    return { kind: "wanted", signer: { kind: "supplied", material }, warnings };
  }
  const isSupplied = active !== undefined && active.generation === undefined;
  if (isSupplied && rootGeneration === 0) {
    const why = "the supplied CA is gone; bring it back, or ask for a root generation above 0";
    return { kind: "unclear", why };
  }
  return {
    kind: "wanted",
    signer: { kind: "own", generation: rootGeneration, make },
    warnings: [],
  };
}

/** What signs where nothing is stored. */
export function firstMaterial(signer: WantedSigner): StateMaterial {
  return signer.kind === "supplied"
    ? signer.material
    : { ...signer.make(), generation: signer.generation };
}
